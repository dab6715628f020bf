//! Files of our own making that are accepted: what is forgiven, what is said of it, what is sent, and
//! the bytes of the results.

use super::{Taken, assert_taken};

#[test]
#[rustfmt::skip]
fn what_is_no_row_is_skipped_and_noticed() {
    assert_taken(&[
        Taken { name: "lines of spaces and tabs", file: b"ref_id,type,content\n1,text,a\n  \n\t\n2,text,b\n \t ", rejected: &[], notices: &["N_BLANK_LINES 3 [3, 4, 6]"], upload: "1,text,a\n2,text,b\n", results: "ref_id,type,labels,content,error\n1,text,,a,\n2,text,,b,\n" },
        Taken { name: "spaces above the header", file: b"  \nref_id,type,content\n1,text,a\n", rejected: &[], notices: &["N_BLANK_LINES 1 [1]"], upload: "1,text,a\n", results: "ref_id,type,labels,content,error\n1,text,,a,\n" },
        Taken { name: "a final Ctrl-Z", file: b"ref_id,type,content\n1,text,a\r\n\x1a", rejected: &[], notices: &["N_CTRL_Z 1 [3]"], upload: "1,text,a\n", results: "ref_id,type,labels,content,error\n1,text,,a,\n" },
        Taken { name: "a block of Ctrl-Z", file: b"ref_id,type,content\n1,text,a\n\x1a\x1a\x1a\x1a\n", rejected: &[], notices: &["N_CTRL_Z 1 [3]"], upload: "1,text,a\n", results: "ref_id,type,labels,content,error\n1,text,,a,\n" },
        Taken { name: "sep=, with a mark", file: b"\xef\xbb\xbfSEP=,\r\nref_id,type,content\r\n1,text,a\r\n", rejected: &[], notices: &["N_SEP_LINE 1 [1]"], upload: "1,text,a\n", results: "\u{feff}ref_id,type,labels,content,error\n1,text,,a,\n" },
        Taken { name: "sep=, in quotes", file: b"\"sep=,\"\nref_id,type,content\n1,text,a\n", rejected: &[], notices: &["N_SEP_LINE 1 [1]"], upload: "1,text,a\n", results: "ref_id,type,labels,content,error\n1,text,,a,\n" },
        Taken { name: "two files joined", file: b"ref_id,type,content,n\n1,text,a,x\nref_id,type,content,n\n2,text,b,y\n", rejected: &[], notices: &["N_HEADER_AGAIN 1 [3]"], upload: "1,text,a\n2,text,b\n", results: "ref_id,type,labels,content,error,n\n1,text,,a,,x\n2,text,,b,,y\n" },
        Taken { name: "two files with marks joined", file: b"\xef\xbb\xbfref_id,type,content\r\n1,text,a\r\n\xef\xbb\xbfref_id,type,content\r\n2,text,b\r\n", rejected: &[], notices: &["N_HEADER_AGAIN 1 [3]"], upload: "1,text,a\n2,text,b\n", results: "\u{feff}ref_id,type,labels,content,error\n1,text,,a,\n2,text,,b,\n" },
        Taken { name: "quoted differently", file: b"ref_id,type,content\n1,text,a\n\"ref_id\", type ,content\n2,text,b\n", rejected: &[], notices: &["N_HEADER_AGAIN 1 [3]"], upload: "1,text,a\n2,text,b\n", results: "ref_id,type,labels,content,error\n1,text,,a,\n2,text,,b,\n" },
    ]);
}

#[test]
#[rustfmt::skip]
fn marks_and_spaces_at_the_edges_are_no_part_of_a_name_or_an_id() {
    assert_taken(&[
        Taken { name: "a mark before a quoted row", file: b"ref_id,type,content\n1,text,a\n\xef\xbb\xbf\"2\",text,b\n", rejected: &[], notices: &["N_MARKS 1 [3]"], upload: "1,text,a\n2,text,b\n", results: "ref_id,type,labels,content,error\n1,text,,a,\n\"2\",text,,b,\n" },
        Taken { name: "two marks and a quoted header", file: b"\xef\xbb\xbf\xef\xbb\xbf\"ref_id\",type,content\n1,text,a\n", rejected: &[], notices: &["N_MARKS 1 [1]"], upload: "1,text,a\n", results: "\u{feff}ref_id,type,labels,content,error\n1,text,,a,\n" },
        Taken { name: "zero-width spaces around names", file: b"ref_id\xe2\x80\x8b,\xe2\x80\x8btype,content,\xe2\x80\x8bnote\n1,text,a,b\n", rejected: &[], notices: &["N_MARKS 1 [1]"], upload: "1,text,a\n", results: "ref_id,type,labels,content,error,\u{200b}note\n1,text,,a,,b\n" },
        Taken { name: "marks around ids", file: b"ref_id,type,content\n\xef\xbb\xbf1,text,a\n2\xe2\x80\x8b,text,b\n\"\xe2\x80\x8b3\",text,c\n", rejected: &[], notices: &["N_MARKS 3 [2, 3, 4]"], upload: "1,text,a\n2,text,b\n3,text,c\n", results: "ref_id,type,labels,content,error\n\u{feff}1,text,,a,\n2\u{200b},text,,b,\n\"\u{200b}3\",text,,c,\n" },
        Taken { name: "a mark within the quotes of a content", file: b"content,ref_id,type\n\"\xef\xbb\xbfa\",1,text\n\xef\xbb\xbfb,2,text\n", rejected: &[], notices: &[], upload: "1,text,\u{feff}a\n2,text,\u{feff}b\n", results: "ref_id,type,labels,content,error\n1,text,,\"\u{feff}a\",\n2,text,,\u{feff}b,\n" },
        Taken { name: "Unicode's spaces around id and type", file: b"ref_id,type,content\n\xc2\xa01\xe3\x80\x80,\xe2\x80\x83text\xe2\x80\x83,\xe3\x80\x80a\xe3\x80\x80\n", rejected: &[], notices: &[], upload: "1,text,\u{3000}a\u{3000}\n", results: "ref_id,type,labels,content,error\n\u{a0}1\u{3000},text,,\u{3000}a\u{3000},\n" },
        Taken { name: "a content of Unicode's spaces", file: b"ref_id,type,content\n1,text,\xe2\x80\x83\xc2\xa0\n2,text,\xe2\x80\x8b\n", rejected: &["E_CONTENT 2: `content` is empty: there is nothing to evaluate"], notices: &[], upload: "2,text,\u{200b}\n", results: "ref_id,type,labels,content,error\n1,text,,\u{2003}\u{a0},rejected: E_CONTENT `content` is empty: there is nothing to evaluate\n2,text,,\u{200b},\n" },
        Taken { name: "ids that differ in what cannot be seen", file: b"ref_id,type,content\nab,text,x\na\xe2\x80\x8db,text,y\na\xe2\x81\xa0b,text,z\ncd,text,w\n", rejected: &[], notices: &["N_INVISIBLE_IDS 2 [3, 4]"], upload: "ab,text,x\na\u{200d}b,text,y\na\u{2060}b,text,z\ncd,text,w\n", results: "ref_id,type,labels,content,error\nab,text,,x,\na\u{200d}b,text,,y,\na\u{2060}b,text,,z,\ncd,text,,w,\n" },
        Taken { name: "a mark under a mark", file: b"\xef\xbb\xbfref_id,type,content\n\xef\xbb\xbf1,text,a\n1,text,b\n", rejected: &["E_REF_ID 3: the `ref_id` stands on line 2 already; the first row with it is kept"], notices: &["N_MARKS 1 [2]"], upload: "1,text,a\n", results: "\u{feff}ref_id,type,labels,content,error\n\u{feff}1,text,,a,\n1,text,,b,rejected: E_REF_ID the `ref_id` stands on line 2 already; the first row with it is kept\n" },
    ]);
}

#[test]
#[rustfmt::skip]
fn spaces_after_commas_are_skipped_only_if_every_comma_of_the_header_has_them() {
    assert_taken(&[
        Taken { name: "after every comma", file: b"ref_id, type, content\n1, text, a\n2,text,b\n", rejected: &[], notices: &["N_SPACES_SKIPPED 2 [1, 2]"], upload: "1,text,a\n2,text,b\n", results: "ref_id,type,labels,content,error\n1,text,,a,\n2,text,,b,\n" },
        Taken { name: "after one comma", file: b"ref_id,type, content\n1,text, a\n", rejected: &[], notices: &["N_SPACES_KEPT 1 [1]"], upload: "1,text,\" a\"\n", results: "ref_id,type,labels,content,error\n1,text,, a,\n" },
        Taken { name: "after one comma, before no name", file: b"ref_id,type,content, \n1,text,  a,b\n", rejected: &[], notices: &["N_SPACES_KEPT 1 [1]"], upload: "1,text,\"  a\"\n", results: "ref_id,type,labels,content,error,\n1,text,,  a,,b\n" },
        Taken { name: "after every comma, before a quote", file: b"ref_id, \"type\", content\n1, \"text\", \"a, b\"\n", rejected: &[], notices: &["N_SPACES_SKIPPED 2 [1, 2]"], upload: "1,text,\"a, b\"\n", results: "ref_id,type,labels,content,error\n1,text,,\"a, b\",\n" },
        Taken { name: "before a comma", file: b"ref_id ,type ,content\n1,text, a\n", rejected: &[], notices: &[], upload: "1,text,\" a\"\n", results: "ref_id,type,labels,content,error\n1,text,, a,\n" },
    ]);
}

#[test]
#[rustfmt::skip]
fn a_quoted_field_whose_lines_look_like_rows_is_noticed() {
    assert_taken(&[
        Taken { name: "a quote that swallows two rows", file: b"ref_id,type,content\n1,text,\"a\n2,text,b\n3,image_url,c\"\n4,text,d\n", rejected: &[], notices: &["N_ROWS_IN_FIELD 1 [2, 4]"], upload: "1,text,\"a\n2,text,b\n3,image_url,c\"\n4,text,d\n", results: "ref_id,type,labels,content,error\n1,text,,\"a\n2,text,b\n3,image_url,c\",\n4,text,,d,\n" },
        Taken { name: "a text of several lines", file: b"ref_id,type,content\n1,text,\"a\nb, c\nd, text, e, f\"\n2,text,d\n", rejected: &[], notices: &[], upload: "1,text,\"a\nb, c\nd, text, e, f\"\n2,text,d\n", results: "ref_id,type,labels,content,error\n1,text,,\"a\nb, c\nd, text, e, f\",\n2,text,,d,\n" },
        Taken { name: "a quote that swallows a row, before the type", file: b"ref_id,content,type\n1,\"a,text\n2,b\",text\n", rejected: &[], notices: &["N_ROWS_IN_FIELD 1 [2, 3]"], upload: "1,text,\"a,text\n2,b\"\n", results: "ref_id,type,labels,content,error\n1,text,,\"a,text\n2,b\",\n" },
        Taken { name: "a quote that opens a row and swallows it", file: b"content,ref_id,type\n\"a,1,text\nb\",2,text\n", rejected: &[], notices: &["N_ROWS_IN_FIELD 1 [2, 3]"], upload: "2,text,\"a,1,text\nb\"\n", results: "ref_id,type,labels,content,error\n2,text,,\"a,1,text\nb\",\n" },
        Taken { name: "a comma in the last line of a text before the type", file: b"ref_id,content,type\n1,\"a text\nb, c\",text\n", rejected: &[], notices: &[], upload: "1,text,\"a text\nb, c\"\n", results: "ref_id,type,labels,content,error\n1,text,,\"a text\nb, c\",\n" },
        Taken { name: "carriage returns and a quoted type", file: b"ref_id,type,content\r\n1,text,\"a\r\n2,\"\"text\"\",b\"\r\n", rejected: &[], notices: &["N_ROWS_IN_FIELD 1 [2, 3]"], upload: "1,text,\"a\r\n2,\"\"text\"\",b\"\n", results: "ref_id,type,labels,content,error\n1,text,,\"a\r\n2,\"\"text\"\",b\",\n" },
    ]);
}

#[test]
#[rustfmt::skip]
fn results_keep_the_files_bytes_and_its_mark() {
    assert_taken(&[
        Taken { name: "a mark and CRLF", file: b"\xef\xbb\xbfref_id,type,content,x\r\n1,text,a,\" q\"\"\"\r\n", rejected: &[], notices: &[], upload: "1,text,a\n", results: "\u{feff}ref_id,type,labels,content,error,x\n1,text,,a,,\" q\"\"\"\n" },
        Taken { name: "a mark and spaces", file: b"\xef\xbb\xbfref_id, type, content\n1, text, a\n", rejected: &[], notices: &["N_SPACES_SKIPPED 2 [1, 2]"], upload: "1,text,a\n", results: "\u{feff}ref_id,type,labels,content,error\n1,text,,a,\n" },
        Taken { name: "an image's URL with spaces around", file: b"ref_id,type,content\n1,image_url,\" https://a.example/b.jpg\xe2\x80\x8b\n\"\n2,image_url,\xef\xbb\xbfhttps://a.example/c.jpg\xc2\xa0\n", rejected: &[], notices: &[], upload: "1,image_url,https://a.example/b.jpg\n2,image_url,https://a.example/c.jpg\n", results: "ref_id,type,labels,content,error\n1,image_url,,\" https://a.example/b.jpg\u{200b}\n\",\n2,image_url,,\u{feff}https://a.example/c.jpg\u{a0},\n" },
    ]);
}
