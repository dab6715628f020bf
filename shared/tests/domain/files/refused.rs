//! Files of our own making that are refused, of the kinds that people have: every error, word for
//! word. What stands in them as `secret` is content, and in no message.

use super::assert_refused;

#[test]
#[rustfmt::skip]
fn another_separator_than_commas_is_named() {
    assert_refused(&[
        ("semicolons", b"ref_id;type;content\n1;text;a\n", &["E_HEADER 1: the columns are separated by semicolons, not by commas: save the file with commas as the separator"]),
        ("semicolons, quoted, with a mark", b"\xef\xbb\xbf\"ref_id\";\"type\";\"content\"\n\"1\";\"text\";\"a, b\"\n", &["E_HEADER 1: the columns are separated by semicolons, not by commas: save the file with commas as the separator"]),
        ("semicolons and a comma in a name", b"ref_id;type;content;\"note, or remark\"\n1;text;a;b\n", &["E_HEADER 1: the columns are separated by semicolons, not by commas: save the file with commas as the separator"]),
        ("tabs in capitals", b"REF_ID\tTYPE\tCONTENT\n1\ttext\ta\n", &["E_HEADER 1: the columns are separated by tabs, not by commas: save the file with commas as the separator"]),
        ("quoted, with tabs", b"\"ref_id\"\t\"type\"\t\"content\"\n", &["E_HEADER 1: the columns are separated by tabs, not by commas: save the file with commas as the separator"]),
        ("vertical bars", b"ref_id|type|content\n1|text|a\n", &["E_HEADER 1: the columns are separated by vertical bars, not by commas: save the file with commas as the separator"]),
        ("Ctrl-A, as Hive has it", b"ref_id\x01type\x01content\n1\x01text\x01a\n", &["E_HEADER 1: the columns are separated by Ctrl-A (U+0001), not by commas: save the file with commas as the separator"]),
        ("semicolons and other names", b"id;kind;body\n1;text;a\n", &["E_HEADER 1: the columns are separated by semicolons, not by commas: save the file with commas as the separator"]),
        ("semicolons below blank lines", b"\n\nref_id;type;content\n1;text;a\n", &["E_HEADER 3: the columns are separated by semicolons, not by commas: save the file with commas as the separator"]),
        ("sep= with a semicolon", b"sep=;\r\nref_id;type;content\r\n", &["E_HEADER 1: the first line is Excel's `sep=`, which names semicolons as the separator: save the file with commas, and remove the line"]),
        ("sep= with a tab, quoted", b"\"sep=\t\"\nref_id\ttype\tcontent\n", &["E_HEADER 1: the first line is Excel's `sep=`, which names tabs as the separator: save the file with commas, and remove the line"]),
        ("sep= with a comma above semicolons", b"sep=,\nref_id;type;content\n1;text;a\n", &["E_HEADER 2: the columns are separated by semicolons, not by commas: save the file with commas as the separator"]),
        ("semicolons in one row only", b"ref_id,type,content\n1,text,a\n2;text;b\n", &["E_FIELDS 3: the row has 1 field, the header 3: it is separated by semicolons; separate it by commas"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_header_that_lacks_a_column_is_refused_with_what_is_wrong_in_its_names() {
    assert_refused(&[
        ("a zero-width joiner in a name", b"ref_\xe2\x80\x8did,type,content\n1,text,secret\n", &["E_HEADER 1: the column `ref_id` is missing: the name of column 1 has the invisible character U+200D in it; write `ref_id`"]),
        ("a soft hyphen in a name", b"ref_id,ty\xc2\xadpe,content\n", &["E_HEADER 1: the column `type` is missing: the name of column 2 has the invisible character U+00AD in it; write `type`"]),
        ("a no-break space in a name", b"ref\xc2\xa0id,type,content\n", &["E_HEADER 1: the column `ref_id` is missing: the name of column 1 has the invisible character U+00A0 in it; write `ref_id`"]),
        ("a Cyrillic letter", b"ref_id,typ\xd0\xb5,content\n1,text,secret\n", &["E_HEADER 1: the column `type` is missing: the name of column 2 has the character U+0435, which only looks like `e`; write `type`"]),
        ("a Greek letter", b"ref_id,type,c\xce\xbfntent\n", &["E_HEADER 1: the column `content` is missing: the name of column 3 has the character U+03BF, which only looks like `o`; write `content`"]),
        ("full-width letters", b"ref_id,\xef\xbd\x94ype,content\n", &["E_HEADER 1: the column `type` is missing: the name of column 2 has the character U+FF54, which only looks like `t`; write `type`"]),
        ("capitals", b"Ref_ID,type,content\n1,text,secret\n", &["E_HEADER 1: the column `ref_id` is missing: column 1 is named `Ref_ID`, and names must be lower-case; write `ref_id`"]),
        ("a hyphen", b"ref-id,type,content\n", &["E_HEADER 1: the column `ref_id` is missing: column 1 is named `ref-id`; write `ref_id`"]),
        ("another spelling", b"refId,type,content\n", &["E_HEADER 1: the column `ref_id` is missing: column 1 is named `refId`; write `ref_id`"]),
        ("a missing column", b"ref_id,kind,content\n1,text,secret\n", &["E_HEADER 1: the column `type` is missing; a file needs `ref_id`, `type` and `content`, in any order: rename a column, or add it"]),
        ("no header", b"1,text,secret\n2,text,b\n", &["E_HEADER 1: the file has no header: write `ref_id,type,content`, in the order of your columns, above its rows"]),
        ("a column twice", b"ref_id,type,content,type\n1,text,a,text\n", &["E_HEADER 1: the column `type` stands twice, as columns 2 and 4: rename one"]),
        ("two columns of one name", b"ref_id,type,content,x,x\n1,text,a,b,c\n", &["E_HEADER 1: columns 4 and 5 have the same name: rename one"]),
        ("a column of the results", b"ref_id,type,content,labels\n1,text,a,b\n", &["E_HEADER 1: a column is named `labels`, which is a column of the results: rename it"]),
        ("joined to a file of another order", b"ref_id,type,content\n1,text,a\ncontent,type,ref_id\nsecret,text,2\n", &["E_HEADER 3: the header's names stand here in another order, as in files that were joined, and the rows below may follow either: put the columns of all of them in one order"]),
        ("its own results", b"ref_id,type,labels,content,error,lang\n1,text,[],a,,en\n", &["E_HEADER 1: the file is a results.csv of Moondrop: drop the file that it is the results of, or remove its columns `labels` and `error`"]),
        ("its own results with a mark", b"\xef\xbb\xbfref_id,type,labels,content,error\r\n", &["E_HEADER 1: the file is a results.csv of Moondrop: drop the file that it is the results of, or remove its columns `labels` and `error`"]),
        ("its own rejected.csv", b"line,byte_offset,ref_id,code,message\n2,20,1,E_TYPE,why\n", &["E_HEADER 1: the file is a rejected.csv of Moondrop: drop the file that it is about, once its rows are corrected"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_file_that_is_no_csv_is_refused_by_the_name_of_its_kind() {
    assert_refused(&[
        ("JSON", b"{\"ref_id\": \"1\", \"content\": \"secret\"}\n", &["E_HEADER 1: the file is JSON, not CSV: export its rows as CSV UTF-8"]),
        ("a JSON array", b"[\n  {\"ref_id\": \"1\"}\n]\n", &["E_HEADER 1: the file is JSON, not CSV: export its rows as CSV UTF-8"]),
        ("JSON Lines", b"{\"ref_id\":\"1\"}\n{\"ref_id\":\"2\"}\n", &["E_HEADER 1: the file is JSON Lines, not CSV: export its rows as CSV UTF-8"]),
        ("an HTML page", b"<!DOCTYPE html>\n<html><body>secret</body></html>\n", &["E_HEADER 1: the file is an HTML page, not CSV: was a page to sign in, or an error, saved in its place? Fetch the file again"]),
        ("S3's error", b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code></Error>\n", &["E_HEADER 1: the file is XML, not CSV: was an error saved in its place? Fetch the file again, or export its rows as CSV UTF-8"]),
        ("RTF", b"{\\rtf1\\ansi secret}\n", &["E_HEADER 1: the file is an RTF document, not CSV: save its table as CSV UTF-8"]),
        ("Avro", b"Obj\x01\x04\x14avro.codec\x08null", &["E_ENCODING 1: the file is an Avro file, not CSV: export its rows as CSV UTF-8"]),
        ("ORC", b"ORC\x08\x03\x10\x02\0\xff\n", &["E_HEADER 1: the file is an ORC file, not CSV: export its rows as CSV UTF-8"]),
        ("SQLite", b"SQLite format 3\0\x10\0\x01\x01", &["E_ENCODING 1: the file is an SQLite database, not CSV: export its rows as CSV UTF-8"]),
        ("a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", &["E_HEADER 1: the file is a Git LFS pointer, not CSV: fetch the file that it points to with git lfs pull, and drop that"]),
        ("Parquet", b"PAR1\x15\x04\x15\x10", &["E_ENCODING 1: the file is a Parquet file, not CSV: export its rows as CSV UTF-8"]),
        ("a spreadsheet", b"PK\x03\x04\x14\0\x08\0", &["E_ENCODING 1: the file is a zip archive or a spreadsheet (.xlsx), not CSV: drop the CSV file that is in it, or save it as CSV UTF-8"]),
        ("7z", b"7z\xbc\xaf'\x1c\0\x04", &["E_ENCODING 1: the file is a 7z archive, not CSV: drop the CSV file that is in it, or save it as CSV UTF-8"]),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03", &["E_ENCODING 1: the file is a gzip archive, not CSV: drop the CSV file that is in it, or save it as CSV UTF-8"]),
        ("SQL", b"INSERT INTO posts VALUES ('1','text','secret');\n", &["E_HEADER 1: the file is SQL, not CSV: export its rows as CSV UTF-8"]),
        ("a Markdown table", b"| ref_id | type | content |\n|---|---|---|\n| 1 | text | a |\n", &["E_HEADER 1: the file is a Markdown table, not CSV: export its rows as CSV UTF-8"]),
        ("conflict markers", b"<<<<<<< HEAD\nref_id,type,content\n", &["E_HEADER 1: the file is an unresolved merge of Git, not CSV: resolve its conflicts, and drop it again"]),
        ("UTF-32, low byte first", b"\xff\xfe\0\0r\0\0\0e\0\0\0f\0\0\0_\0\0\0i\0\0\0d\0\0\0", &["E_ENCODING 1: the file is UTF-32, not UTF-8: save it as CSV UTF-8"]),
        ("UTF-32, high byte first", b"\0\0\xfe\xff\0\0\0r\0\0\0e\0\0\0f\0\0\0_\0\0\0i\0\0\0d", &["E_ENCODING 1: the file is UTF-32, not UTF-8: save it as CSV UTF-8"]),
        ("UTF-32 without a mark", b"r\0\0\0e\0\0\0f\0\0\0_\0\0\0i\0\0\0d\0\0\0", &["E_ENCODING 1: the file is UTF-32 without a byte-order mark, not UTF-8: save it as CSV UTF-8"]),
        ("UTF-16", b"\xff\xfer\0e\0f\0_\0i\0d\0", &["E_ENCODING 1: the file is UTF-16, not UTF-8: save it as CSV UTF-8"]),
        ("UTF-16 without a mark", b"\0r\0e\0f\0_\0i\0d", &["E_ENCODING 1: the file is UTF-16 without a byte-order mark, not UTF-8: save it as CSV UTF-8"]),
        ("nothing", b"", &["E_EMPTY 1: the file is empty; it needs a header and rows"]),
        ("a mark alone", b"\xef\xbb\xbf", &["E_EMPTY 1: the file is empty; it needs a header and rows"]),
        ("a header alone", b"ref_id,type,content\n", &["E_EMPTY 1: the file has a header and no rows: write them below it"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn other_encodings_and_line_ends_are_named() {
    assert_refused(&[
        ("Latin-1", b"ref_id,type,content\n1,text,caf\xe9 secret\n2,text,b\n3,text,na\xefve\n", &["E_ENCODING 2: column 3: bytes that are not UTF-8, as Latin-1 and Windows-1252 have them: save the file as CSV UTF-8", "E_ENCODING 4: column 3: bytes that are not UTF-8, as Latin-1 and Windows-1252 have them: save the file as CSV UTF-8"]),
        ("Latin-1 at a row's end", b"ref_id,type,content\n1,text,caf\xe9\n", &["E_ENCODING 2: column 3: bytes that are not UTF-8, as Latin-1 and Windows-1252 have them: save the file as CSV UTF-8"]),
        ("Windows-1252", b"ref_id,type,content\n1,text,\x93secret\x94\n", &["E_ENCODING 2: column 3: bytes that are not UTF-8, as Latin-1 and Windows-1252 have them: save the file as CSV UTF-8"]),
        ("cut within a character", b"ref_id,type,content\n1,text,a\n2,text,b\xe2\x82", &["E_ENCODING 3: column 3: the file ends within a character: write it again if it is cut short, or save it as CSV UTF-8"]),
        ("a text cut within a character", b"ref_id,type,content\n1,text,b\xe2\x82\n2,text,b\n", &["E_ENCODING 2: column 3: a character of UTF-8 is cut off: cut no text within a character, and save the file as CSV UTF-8"]),
        ("half a surrogate pair", b"ref_id,type,content\n1,text,\xed\xa0\x80\n", &["E_ENCODING 2: column 3: half of a UTF-16 surrogate pair, which is not UTF-8: save the file as CSV UTF-8"]),
        ("a NUL", b"ref_id,type,content\n1,text,a\0b\n2,text,c\n", &["E_ENCODING 2: column 3: a NUL byte, which no text has: save the file as CSV UTF-8"]),
        ("a header in Latin-1", b"ref_id,type,content,r\xe9gion\n1,text,a,b\n", &["E_ENCODING 1: column 4: bytes that are not UTF-8, as Latin-1 and Windows-1252 have them: save the file as CSV UTF-8"]),
        ("an old Mac's file", b"ref_id,type,content\r1,text,a\r", &["E_QUOTE 1: column 3: the line ends with a carriage return alone, as on old Macs: save the file with line ends LF or CR LF"]),
        ("doubled line ends", b"ref_id,type,content\r\r\n1,text,a\r\r\n", &["E_QUOTE 1: column 3: the line ends with two carriage returns and a line feed: the program that wrote the file doubled its line ends; save it with LF or CR LF (in Python, open it with newline=\"\")"]),
        ("doubled line ends in rows only", b"ref_id,type,content\r\n1,text,a\r\r\n", &["E_QUOTE 2: column 3: the line ends with two carriage returns and a line feed: the program that wrote the file doubled its line ends; save it with LF or CR LF (in Python, open it with newline=\"\")"]),
        ("line ends LF CR", b"ref_id,type,content\n\r1,text,a\n\r", &["E_QUOTE 2: column 1: the line begins with a carriage return: save the file with line ends LF or CR LF"]),
        ("a carriage return in a text", b"ref_id,type,content\n1,text,a\rb\n", &["E_QUOTE 2: column 3: a carriage return without a line feed, outside of quotes: put the field in quotes, or end the line with LF or CR LF"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_quote_out_of_place_is_refused_with_its_cause_where_it_began() {
    assert_refused(&[
        ("backslashes", b"ref_id,type,content\n1,text,\"say \\\"secret\\\"\"\n", &["E_QUOTE 2: column 3: a backslash stands before a quote: write two quotes (\"\") for one within a quoted field, without a backslash"]),
        ("backslashes on a text's second line", b"ref_id,type,content\n1,text,\"a\nsay \\\"secret\\\"\"\n", &["E_QUOTE 3: column 3: a backslash stands before a quote: write two quotes (\"\") for one within a quoted field, without a backslash"]),
        ("a backslash without quotes around", b"ref_id,type,content\n1,text,say \\\"secret\\\"\n", &["E_QUOTE 2: column 3: a backslash stands before a quote: write two quotes (\"\") for one within a quoted field, without a backslash"]),
        ("a backslash at a field's end", b"ref_id,type,content\n1,text,\"5\\\"\"\n2,text,\"b\"\n", &["E_QUOTE 2: column 3: a backslash stands before a quote: write two quotes (\"\") for one within a quoted field, without a backslash"]),
        ("a space before a quote", b"ref_id,type,content\n1,text, \"secret\"\n", &["E_QUOTE 2: column 3: a space stands before a quote: remove it, or write one after every comma of the header, too"]),
        ("a tab before a quote", b"ref_id,type,content\n1,text,\t\"secret\"\n", &["E_QUOTE 2: column 3: a tab stands before a quote: remove it, or write one after every comma of the header, too"]),
        ("a space after a quote", b"ref_id,type,content\n1,\"text\" ,a\n", &["E_QUOTE 2: column 2: a space stands after a closing quote: remove it"]),
        ("a mark before a quote in a row", b"ref_id,type,content\n1,text,\xef\xbb\xbf\"secret\"\n", &["E_QUOTE 2: column 3: the invisible character U+FEFF stands before a quote: remove it"]),
        ("a no-break space after a quote", b"ref_id,type,content\n1,\"text\"\xc2\xa0,a\n", &["E_QUOTE 2: column 2: the invisible character U+00A0 stands after a closing quote: remove it"]),
        ("a semicolon after a quote", b"ref_id,type,content\n\"1\";\"text\";\"a\"\n", &["E_QUOTE 2: column 1: a semicolon follows a closing quote: separate the columns with commas"]),
        ("a quote within", b"ref_id,type,content\n1,text,5\" nails\n", &["E_QUOTE 2: column 3: a quote stands within a field that does not begin with one: put the field in quotes, and write two quotes (\"\") for one within"]),
        ("text after a quote", b"ref_id,type,content\n1,text,\"a\"secret\n", &["E_QUOTE 2: column 3: text follows a closing quote: write two quotes (\"\") for one within a quoted field"]),
        ("never closed", b"ref_id,type,content\n1,text,a\n2,text,\"secret\n3,text,b\n", &["E_QUOTE 3: column 3: a quote is opened here and never closed: close it where its field ends, or write the file again if it is cut short"]),
        ("opened far above", b"ref_id,type,content\n1,text,\"secret\n2,text,row\n3,text,row\n4,text,row\n5,text,row\n6,text,row\n7,text,row\n8,text,row\n9,text,row\n10,text,row\n11,text,row\n12,text,row\n13,text,row\n14,text,row\n15,text,row\n16,text,row\n17,text,row\n18,text,row\n19,text,row\n20,text,row\n21,text,row\n22,text,row\n23,text,row\n24,text,row\n25,text,row\n26,text,row\n27,text,row\n28,text,row\n29,text,row\n30,text,row\n31,text,row\n32,text,row\n33,text,row\n34,text,row\n35,text,row\n36,text,row\n37,text,row\n38,text,row\n39,text,row\n40,text,row\n41,text,row\n42,text,row\n43,text,row\n44,text,row\n45,text,row\n46,text,row\n47,text,row\n48,text,row\n49,text,row\n50,text,row\n51,text,row\n52,text,row\n53,text,row\n54,text,row\n55,text,row\n56,text,row\n57,text,row\n58,text,row\n59,text,row\n60,text,\"a, b\"\n", &["E_QUOTE 2: column 3: a quote is opened here, and the next quote is on line 61, where text follows it: close the quote where its field ends, and write two quotes (\"\") for one within a quoted field"]),
        ("opened far above, then a space", b"ref_id,type,content\n1,text,\"secret\n2,text,b\" \n", &["E_QUOTE 2: column 3: a quote is opened here, and the next quote is on line 3, where a space follows it: close the quote where its field ends, and write two quotes (\"\") for one within a quoted field"]),
        ("a row's wrong length before a lost quote", b"ref_id,type,content\n1,text\n2,text,\"a\n3,text,b\n", &["E_FIELDS 2: the row has 2 fields, the header 3: write a comma for each field, also for an empty one", "E_QUOTE 3: column 3: a quote is opened here and never closed: close it where its field ends, or write the file again if it is cut short"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn rows_of_other_lengths_are_all_listed_with_what_to_do() {
    assert_refused(&[
        ("three of them", b"ref_id,type,content\n1,text,a,secret\n2,text,b\n3,text\n4,text,c,d\n", &["E_FIELDS 2: the row has 4 fields, the header 3: put a field that has commas in quotes", "E_FIELDS 4: the row has 2 fields, the header 3: write a comma for each field, also for an empty one", "E_FIELDS 5: the row has 4 fields, the header 3: put a field that has commas in quotes"]),
        ("commas at the end", b"ref_id,type,content\n1,text,a,,\n", &["E_FIELDS 2: the row has 5 fields, the header 3: the last 2 fields are empty; remove the commas at the end of the row"]),
        ("a comma without quotes", b"ref_id,type,content\n1,text,a, secret\n", &["E_FIELDS 2: the row has 4 fields, the header 3: put a field that has commas in quotes"]),
        ("a backslash before a comma", b"ref_id,type,content\n1,text,a\\, secret\n", &["E_FIELDS 2: the row has 4 fields, the header 3: a backslash stands before a comma; put the field in quotes, without a backslash"]),
        ("a text of two lines", b"ref_id,type,content\n1,text,a\nsecret\n2,text,b\n", &["E_FIELDS 3: the row has 1 field, the header 3: if it continues the text of the line above, put that text in quotes"]),
        ("rows within a field of the wrong length", b"ref_id,type,content\n1,text,\"a\n2,text,b\n3,text,c\",d\n", &["E_FIELDS 2: the row has 4 fields, the header 3: it begins here and ends on line 4; close each quote where its field ends, and put a field that has commas in quotes"]),
        ("cut short", b"ref_id,type,content\n1,text,a\n2,te", &["E_FIELDS 3: the row has 2 fields, the header 3: it is the last row and has no line end; is the file cut short? Write it again"]),
        ("Ctrl-Z between rows", b"ref_id,type,content\n1,text,a\n\x1a\n2,text,b\n", &["E_FIELDS 3: a Ctrl-Z (U+001A), which ends a file, stands alone on the line, and rows follow: remove it"]),
        ("too few", b"ref_id,type,content\n1,text\n2,text,b\n", &["E_FIELDS 2: the row has 2 fields, the header 3: write a comma for each field, also for an empty one"]),
        ("fields, bytes and a type", b"ref_id,type,content\n1,text\n2,video,b\n3,text,\xff\n,text,c\n", &["E_FIELDS 2: the row has 2 fields, the header 3: write a comma for each field, also for an empty one", "E_TYPE 3: `type` is neither `text` nor `image_url`", "E_ENCODING 4: column 3: bytes that are not UTF-8, as Latin-1 and Windows-1252 have them: save the file as CSV UTF-8", "E_REF_ID 5: `ref_id` is empty"]),
    ]);
}
