use super::*;

fn read(changes: &[(&str, &str)]) -> Result<Settings, SettingError> {
    let base = [
        ("STACK", "moon"),
        ("RESULTS_BUCKET", "r"),
        ("TABLE", "t"),
        ("EVENT_BUS", "b"),
        ("API_KEY_SECRET", "s"),
    ];
    let find = |name: &str| {
        changes.iter().chain(&base).find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
    };
    Settings::read(find)
}

#[test]
fn a_missing_or_invalid_setting_is_named() {
    for name in ["STACK", "RESULTS_BUCKET", "TABLE", "EVENT_BUS", "API_KEY_SECRET"] {
        assert_eq!(
            read(&[(name, " ")]).unwrap_err().to_string(),
            format!("the setting {name} is missing")
        );
    }
    for (name, value) in [
        ("STACK", "a:b"),
        ("API_URL", "http://example.com"),
        ("API_URL", "nonsense"),
        ("ON_BAD_ROWS", "maybe"),
        ("ROWS_PER_JOB", "0"),
        ("BYTES_PER_JOB", "lots"),
        ("UPLOADS_AT_ONCE", "65"),
        ("READS_AT_ONCE", "0"),
        ("SIGNED_URL_HOSTS", "amazonaws.com,co.uk"),
        ("POLICY_ALIASES", "[1]"),
        ("FILE_MAPPING", "{\"type\": \"film\"}"),
        ("REPORT_EVERY_SECONDS", "0"),
        ("REMIND_AFTER_SECONDS", "-1"),
        ("STALLED_AFTER_SECONDS", "x"),
        ("METRICS", "yes"),
        ("RESULTS_FORMATS", "xlsx"),
        ("RESULTS_UNREADABLE", "drop"),
        ("BLANK_LABELS", "yes"),
        ("RESULTS_CONTENT_CHECK", "off"),
        ("RETRY_AFTER_SECONDS", "0"),
        ("CONFIRM_AFTER_SECONDS", "soon"),
        ("LOST_AFTER_HOURS", "0"),
        ("POLL_EVERY", "rate(2 days)"),
        ("POLL_EVERY", "cron(0 12 * * ? *)"),
    ] {
        assert_eq!(read(&[(name, value)]).unwrap_err().name, name);
    }
}

#[test]
fn every_name_of_a_stack_that_cloudformation_takes_is_taken() {
    assert!(read(&[("STACK", &"a".repeat(128))]).is_ok());
    let error = read(&[("STACK", &"a".repeat(129))]).unwrap_err();
    assert!(error.to_string().contains("at most 128"), "{error}");
}

#[test]
fn reading_ahead_leaves_memory_for_the_rows() {
    let small = ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512");
    let read_by = |count| read(&[small, ("READS_AT_ONCE", count)]);
    assert_eq!(read(&[small]).unwrap().reads_at_once, 8);
    assert!(read_by("40").unwrap().rows_in_memory > 10_000_000);
    assert_eq!(read_by("56").unwrap_err().name, "READS_AT_ONCE");
    assert_eq!(read(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")]).unwrap().reads_at_once, 2);
}

#[test]
fn the_interval_of_poll_is_read_as_in_the_schedule() {
    for (text, seconds) in [
        ("rate(5 minutes)", 300),
        ("rate(1 minute)", 60),
        ("5 seconds", 5),
        ("rate(1 hour)", 3_600),
    ] {
        assert_eq!(read(&[("POLL_EVERY", text)]).unwrap().poll_every.as_secs(), seconds, "{text}");
    }
    assert_eq!(read(&[]).unwrap().poll_every.as_secs(), 300);
}

#[test]
fn plain_http_is_for_loopback_only() {
    for url in
        ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:2", "https://example.com"]
    {
        assert!(read(&[("API_URL", url)]).is_ok(), "{url}");
    }
}

#[test]
fn the_policy_is_the_folders_alias_or_id_or_else_the_default() {
    let settings =
        read(&[("POLICY_ALIASES", r#"{"hate":"id-1"}"#), ("DEFAULT_POLICY", "id-0")]).unwrap();
    assert_eq!(settings.policy_for(Some("hate")).as_deref(), Some("id-1"));
    assert_eq!(settings.policy_for(Some("id-9")).as_deref(), Some("id-9"));
    assert_eq!(settings.policy_for(None).as_deref(), Some("id-0"));
    assert_eq!(read(&[]).unwrap().policy_for(None), None);
}
