//! Files with other columns, other separators, or none of `ref_id` and `type`, on their whole way.

use crate::support::check_with;
use crate::support::walk::{Outcome, mapped, outcome};
use moondrop_shared::check::Checker;
use moondrop_shared::csv::mapping::Mapping;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::plan::PartLimits;

fn mapping(json: &str) -> Mapping {
    Mapping::read(json.as_bytes()).unwrap()
}

/// The upload and the results of a file that has no error and no notice.
fn taken(json: &str, file: &str) -> (String, String) {
    let Outcome { errors, notices, upload, results } = mapped(&mapping(json), file.as_bytes());
    assert_eq!((errors, notices), (vec![], vec![]), "{file}");
    (upload, results)
}

fn errors(json: &str, file: &str) -> Vec<String> {
    mapped(&mapping(json), file.as_bytes()).errors
}

const ID_AND_BODY: &str = r#"{"columns": {"ref_id": "id", "content": "body"}, "type": "text"}"#;

#[test]
fn mapped_columns_are_sent_and_come_out_under_their_own_names_too() {
    let file = "likes,body,id\n3,\"a, b\", x1\n4,c,x2\n";
    let (upload, results) = taken(ID_AND_BODY, file);
    assert_eq!(upload, "x1,text,\"a, b\"\nx2,text,c\n");
    assert_eq!(
        results,
        "ref_id,type,labels,content,error,likes,body,id\n x1,text,,\"a, b\",,3,\"a, b\", x1\nx2,text,,c,,4,c,x2\n"
    );
}

#[test]
fn a_column_taken_under_its_own_name_stands_in_the_results_once() {
    let file = "ref_id,type,body\n1,text,a\n";
    let (upload, results) = taken(r#"{"columns": {"content": "body"}}"#, file);
    assert_eq!(upload, "1,text,a\n");
    assert_eq!(results, "ref_id,type,labels,content,error,body\n1,text,,a,,a\n");
}

#[test]
fn an_empty_mapping_reads_a_file_as_none_does() {
    let file = b"\xef\xbb\xbfx, content, ref_id, type\n1, \"a, b\",1,text\n\n2,c,2,video\n";
    assert_eq!(mapped(&Mapping::default(), file), outcome(Rules::NEWEST, file));
}

#[test]
fn a_column_without_a_name_is_mapped_and_kept() {
    let json = r#"{"columns": {"ref_id": "", "content": "comment_text"}, "type": "text"}"#;
    let (upload, results) = taken(json, ",comment_text,toxic\n0,a,1\n1,\"b\nc\",0\n");
    assert_eq!(upload, "0,text,a\n1,text,\"b\nc\"\n");
    assert_eq!(
        results,
        "ref_id,type,labels,content,error,,comment_text,toxic\n0,text,,a,,0,a,1\n1,text,,\"b\nc\",,1,\"b\nc\",0\n"
    );
}

#[test]
fn semicolons_and_tabs_separate_and_the_results_have_commas() {
    let json = r#"{"columns": {"ref_id": "id", "content": "body"}, "type": "text", "separator": "semicolon"}"#;
    let file = "sep=;\r\nid;body;price, EUR\r\n1;a, b;1,50\r\n2;\"c; d\";\"2,00\"\r\n";
    let come = mapped(&mapping(json), file.as_bytes());
    assert_eq!(come.errors, [""; 0]);
    assert_eq!(come.notices, ["N_SEP_LINE 1 [1]"]);
    assert_eq!(come.upload, "1,text,\"a, b\"\n2,text,c; d\n");
    assert_eq!(
        come.results,
        "ref_id,type,labels,content,error,id,body,\"price, EUR\"\n1,text,,\"a, b\",,1,\"a, b\",\"1,50\"\n2,text,,\"c; d\",,2,\"c; d\",\"2,00\"\n"
    );

    let tabs = json.replace("semicolon", "tab");
    let (upload, results) = taken(&tabs, "\tid\tbody\n7\t1\t a, b \n8\t2\tc\n");
    assert_eq!(upload, "1,text,\" a, b \"\n2,text,c\n");
    assert_eq!(
        results,
        "ref_id,type,labels,content,error,,id,body\n1,text,,\" a, b \",,7,1,\" a, b \"\n2,text,,c,,8,2,c\n"
    );
}

#[test]
fn rows_are_numbered_over_all_parts_but_not_blank_lines_or_repeated_headers() {
    let json = r#"{"columns": {"content": "body"}, "ref_id": "row_number", "type": "text"}"#;
    let file = "body,n\na,1\n\nb,2\n \nbody,n\n,3\nd,4\n";
    let come = mapped(&mapping(json), file.as_bytes());
    assert_eq!(come.errors, ["E_CONTENT 7: `content` is empty: there is nothing to evaluate"]);
    assert_eq!(come.notices, ["N_BLANK_LINES 1 [5]", "N_HEADER_AGAIN 1 [6]"]);
    assert_eq!(come.upload, "1,text,a\n2,text,b\n4,text,d\n");
    assert_eq!(
        come.results,
        "ref_id,type,labels,content,error,body,n\n1,text,,a,,a,1\n2,text,,b,,b,2\n3,text,,,rejected: E_CONTENT `content` is empty: there is nothing to evaluate,,3\n4,text,,d,,d,4\n"
    );
    let limits = PartLimits { rows: 3, ..PartLimits::default() };
    let checker = Checker::new(limits).mapped(Some(mapping(json)));
    let parts = check_with(checker, file.as_bytes(), 5).unwrap().checked.parts;
    let first_rows: Vec<_> = parts.iter().map(|part| part.first_row).collect();
    assert_eq!(first_rows, [Some(1), Some(4)]);
}

#[test]
fn a_file_of_one_column_keeps_a_row_that_is_as_its_header() {
    let json = r#"{"columns": {"content": "text"}, "ref_id": "row_number", "type": "text"}"#;
    let come = mapped(&mapping(json), b"text\na\ntext\n\x1a");
    assert_eq!(come.upload, "1,text,a\n2,text,text\n");
    assert_eq!((come.errors.len(), come.notices), (0, vec!["N_CTRL_Z 1 [4]".to_owned()]));
}

#[test]
fn a_second_header_in_another_order_refuses_a_mapped_file_too() {
    let refused = errors(ID_AND_BODY, "id,body\n1,a\nbody,id\nsecret,2\n");
    let [error] = &refused[..] else { panic!("{refused:?}") };
    assert!(
        error.starts_with("E_HEADER 3: the header's names stand here in another order"),
        "{error}"
    );
}

#[test]
fn the_types_of_a_mapped_column_are_checked() {
    let json = r#"{"columns": {"ref_id": "id", "type": "kind", "content": "body"}}"#;
    let file = "id,kind,body\n1,text,a\n2,image_url,https://x.io/a.png\n3,video,c\nid,kind,body\n";
    let come = mapped(&mapping(json), file.as_bytes());
    assert_eq!(come.errors, ["E_TYPE 4: `type` is neither `text` nor `image_url`"]);
    assert_eq!(come.notices, ["N_HEADER_AGAIN 1 [5]"]);
    assert_eq!(come.upload, "1,text,a\n2,image_url,https://x.io/a.png\n");
    assert!(come.results.contains("\n3,video,,c,rejected: E_TYPE "), "{}", come.results);
}

#[test]
fn a_header_that_does_not_fit_says_which_mapping_to_give() {
    const RESULTS: &str = "which is a column of the results";
    let cases: [(&str, &str, String); 9] = [
        (ID_AND_BODY, "id,body,type\n1,a,b\n", format!("column 3 is named `type`, {RESULTS}, and it is not mapped: map it with `--map type=type`, or with `\"columns\": {{\"type\": \"type\"}}` in the mapping, or rename it")),
        (ID_AND_BODY, "id,body,labels\n1,a,b\n", format!("column 3 is named `labels`, {RESULTS}: rename it")),
        (r#"{"columns": {"ref_id": "content", "content": "body"}, "type": "text"}"#, "content,body\n1,a\n", format!("column 1 is named `content`, {RESULTS}: rename it")),
        (ID_AND_BODY, "Id,body\n1,a\n", "the column `id` is missing: column 1 is named `Id`, and names must be lower-case; write `id`".to_owned()),
        (ID_AND_BODY, "id,text\n1,a\n", "the column `body` is missing, which the mapping takes for `content`: map another with `--map content=…`".to_owned()),
        (r#"{"columns": {"ref_id": ""}}"#, "a,type,content\n", "a column without a name is missing, which the mapping takes for `ref_id`: map another with `--map ref_id=…`, or number the rows with `--map ref_id=#`".to_owned()),
        (r#"{"columns": {"ref_id": ""}}"#, ",,type,content\n", "a column without a name stands twice, as columns 1 and 2: rename one".to_owned()),
        (ID_AND_BODY, "id;body\n1;a\n", "the columns are separated by semicolons, and the mapping says commas: give `--separator semicolon`, or `\"separator\": \"semicolon\"` in the mapping".to_owned()),
        (ID_AND_BODY, "id,body,x,x\n1,a,b,c\n", "columns 3 and 4 have the same name: rename one".to_owned()),
    ];
    for (json, file, says) in cases {
        assert_eq!(errors(json, file), [format!("E_HEADER 1: {says}")], "{file}");
    }
}

#[test]
fn the_words_about_rows_name_the_separator_of_the_mapping() {
    let json = r#"{"columns": {"ref_id": "id", "content": "body"}, "type": "text", "separator": "semicolon"}"#;
    let cases = [
        (
            "id;body\n1;a;b\n",
            "E_FIELDS 2: the row has 3 fields, the header 2: put a field that has semicolons in quotes",
        ),
        (
            "id;body\n1;a;\n",
            "E_FIELDS 2: the row has 3 fields, the header 2: the last field is empty; remove the semicolon at the end of the row",
        ),
        (
            "id;body\n1,a\n",
            "E_FIELDS 2: the row has 1 field, the header 2: it is separated by commas; separate it by semicolons",
        ),
        (
            "id;body\n1;\"a\"|b\n",
            "E_QUOTE 2: column 2: a vertical bar follows a closing quote: separate the columns with semicolons",
        ),
    ];
    for (file, says) in cases {
        assert_eq!(errors(json, file), [says], "{file}");
    }
}

#[test]
fn a_repeated_header_is_no_row_though_its_names_could_be_a_rows_values() {
    let json = r#"{"columns": {"ref_id": "", "type": "text", "content": "body"}}"#;
    let come = mapped(&mapping(json), b",text,body\n1,text,a\n,text,body\n2,text,body\n");
    assert_eq!((come.errors.len(), come.notices), (0, vec!["N_HEADER_AGAIN 1 [3]".to_owned()]));
    assert_eq!(come.upload, "1,text,a\n2,text,body\n");
}

/// The names in a schema's list, as the parser gives them in a message.
fn listed(schema: &serde_json::Value, name: &str) -> String {
    let values = schema["properties"][name]["enum"].as_array().unwrap();
    values
        .iter()
        .map(|value| format!("`{}`", value.as_str().unwrap()))
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn the_schema_has_the_fields_and_values_that_are_read() {
    let schema = include_str!("../../moondrop.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let fields = schema["properties"].as_object().unwrap();
    for (name, field) in fields {
        let error = Mapping::read(format!("{{\"{name}\": \"?\"}}").as_bytes());
        let says = error.err().unwrap_or_default();
        match field.get("enum") {
            Some(_) => assert_eq!(says, format!("`{name}` is none of {}", listed(&schema, name))),
            None => assert!(!says.contains("there is no field"), "{name}: {says}"),
        }
    }
    let unknown = Mapping::read(br#"{"x": 1}"#).unwrap_err();
    let named = unknown.matches('`').count() / 2 - 1;
    assert_eq!(named, fields.len() - 1, "all but `$schema`: {unknown}");
    let columns = schema["properties"]["columns"]["properties"].as_object().unwrap();
    for name in columns.keys() {
        mapping(&format!("{{\"columns\": {{\"{name}\": \"x\"}}}}"));
    }
    assert_eq!(columns.len(), 3);
}
