//! The events that start submit and collect.

use moondrop_shared::event::{Announcement, JobEnded, ObjectCreated};
use moondrop_shared::object_key::{self, ObjectKey};
use moondrop_shared::services::messages::Messages;
use moondrop_shared::source::Source;

/// The events: what is read is usable, what is not is refused without being shown.
pub fn event(body: &[u8]) {
    // As Lambda hands them over: a batch of messages.
    let _ = serde_json::from_slice::<Messages>(body);
    let Ok(text) = std::str::from_utf8(body) else { return };
    if let Err(error) = JobEnded::read(text) {
        let shown = format!("{error:#}");
        assert!(shown.contains(" event: line ") && shown.len() < 120, "{shown}");
    }
    if let Err(error) = Announcement::read(text) {
        let shown = format!("{error:#}");
        assert!(shown.starts_with("the message is ") && shown.len() < 140, "{shown}");
    }
    let announced = match ObjectCreated::read(text) {
        Ok(announced) => announced,
        Err(error) => {
            let shown = format!("{error:#}");
            assert!(
                shown.starts_with("the message is no \"Object Created\" event: line ")
                    && shown.len() < 100,
                "{shown}"
            );
            return;
        }
    };
    let object = &announced.detail.object;
    if object_key::is_drop(&object.key) {
        assert!(
            object_key::policy_folder(&object.key)
                .is_none_or(|folder| !folder.is_empty() && !folder.contains('/'))
        );
    }
    let source = Source {
        bucket: announced.detail.bucket.name.clone(),
        key: object.key.clone(),
        version_id: object.version_id.clone(),
        etag: object.etag.clone().unwrap_or_default(),
        sequencer: object.sequencer.clone(),
        size: object.size.unwrap_or_default(),
    };
    let id = source.id();
    let folder = object_key::results_folder(&object.key, announced.time);
    for folder in [object_key::second_folder(&folder, &id), folder] {
        let key = ObjectKey::rejected(&folder).to_string();
        assert!(key.len() <= 1024 && key.starts_with("results/"), "S3 would not take the key");
    }
}
