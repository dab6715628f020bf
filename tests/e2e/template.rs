//! What the template asks the functions for.

use moondrop_shared::services::metrics::Metric;
use std::collections::BTreeSet;
use std::path::Path;

/// Every text between double quotes in what follows a word of the template.
fn quoted_after<'a>(template: &'a str, word: &str) -> Vec<&'a str> {
    let lines = template.lines().filter_map(|line| line.split_once(word).map(|(_, rest)| rest));
    lines
        .flat_map(|rest| rest.split(" and ").next().unwrap_or(rest).split('"').skip(1).step_by(2))
        .collect()
}

/// Every file of a folder and the folders in it.
fn read_all(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            read_all(&entry, text);
        } else {
            *text += &std::fs::read_to_string(entry).unwrap();
        }
    }
}

#[test]
fn the_template_asks_for_metrics_and_lines_that_the_functions_write() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let template = std::fs::read_to_string(root.join("infra/template.yaml")).unwrap();
    let known: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    let alarms = template.split("Namespace: Moondrop\n").skip(1);
    let in_alarms = alarms.map(|alarm| {
        alarm.trim_start().strip_prefix("MetricName: ").unwrap().lines().next().unwrap()
    });
    let on_dashboard =
        template.split("[\"Moondrop\", \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let asked: BTreeSet<&str> = in_alarms.chain(on_dashboard).collect();
    assert!(asked.len() > 15 && asked.is_subset(&known), "{:?}", asked.difference(&known));

    let mut code = String::new();
    for folder in
        ["functions/submit/src", "functions/poll/src", "functions/collect/src", "shared/src"]
    {
        read_all(&root.join(folder), &mut code);
    }
    // Whether an argument has a line of its own makes no difference.
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ").replace("\" );", "\");");
    let lines =
        [quoted_after(&template, "message = "), quoted_after(&template, "message in ")].concat();
    assert!(lines.len() >= 4, "{lines:?}");
    for line in lines {
        assert!(code.contains(&format!("\"{line}\");")), "no line of log is {line:?}");
    }
    for alarm in quoted_after(&template, "alarm in ") {
        assert!(
            code.contains(&format!("alarm = \"{alarm}\"")),
            "no line of log has the alarm {alarm:?}"
        );
    }
}
