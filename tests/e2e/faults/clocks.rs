//! Clocks that are ten minutes off, throughout, either way.

use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::InProcess;
use moondrop_tests::rows::{assert_all_rows, good_file};

/// By how many minutes a clock is ahead.
const OFF: [i64; 2] = [-10, 10];

#[tokio::test(flavor = "multi_thread")]
async fn with_polls_clock_ten_minutes_off_a_drop_comes_to_the_same_end() {
    for off in OFF {
        let world = InProcess::start().await;
        let dropped = world.drop_file("incoming/posts.csv", good_file(6)).await;
        assert!(world.submit(&dropped).await);
        for state in ["INITIALIZED", "QUEUED", "COMPLETED"] {
            for id in ["job-1", "job-2", "job-3"] {
                world.api.set_state(id, state);
            }
            world.poll_in(off).await;
        }
        assert_eq!(world.events("Job Completed", &dropped.id).len(), 3, "{off}");
        world.collect_all(&dropped.id).await;
        let ended = world.ended(&dropped.id).await;
        assert_eq!(ended.status.state, DropState::Completed, "{off}");
        assert_all_rows(&good_file(6), ended.results());
        assert_eq!((world.api.jobs().len(), world.api.fed().len()), (3, 3), "{off}");
        assert_eq!(world.events("Drop Completed", &dropped.id).len(), 1, "{off}");
        assert!(world.events("Drop Stalled", &dropped.id).is_empty(), "{off}");
        // Hours later by that clock there is nothing to sweep.
        world.poll_in(6 * 60 + off).await;
        assert_eq!(world.api.count(Call::Cancel), 0, "{off}");
    }
}

/// The address lives four hours by the API's clock; the job's age is told by ours, at both ends.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_clock_ten_minutes_off_no_url_is_used_once_it_has_expired() {
    for off in OFF {
        let world = InProcess::start_with(&[("ROWS_PER_JOB", "6")]).await;
        let dropped = world.drop_file("incoming/posts.csv", good_file(6)).await;
        world.api.always(Call::Upload, Some(Answer::status(500)));
        let mut used_until = 0;
        for age in (0..300).step_by(5) {
            if age > 0 {
                // It was recorded by a clock that was ahead by `off`.
                world.age_part((&dropped.id, 1), "created_at", age - off).await;
            }
            let before = world.api.count(Call::Upload);
            world.submit(&dropped).await;
            if world.api.count(Call::Upload) > before {
                used_until = age;
            }
        }
        assert!(
            (210..240).contains(&used_until),
            "by a clock {off} minutes ahead, used until it was {used_until} minutes old"
        );
        assert_eq!(world.api.jobs().len(), 1);
    }
}

/// An upload that began before the address ran out may be under way for as long as an invocation
/// lives.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_clock_ten_minutes_off_no_job_is_given_up_that_may_yet_get_rows() {
    for off in OFF {
        let world = InProcess::start_with(&[("ROWS_PER_JOB", "6")]).await;
        let dropped = world.drop_file("incoming/posts.csv", good_file(6)).await;
        world.api.next(Call::Create, [Answer::job_elsewhere("job-1")]);
        assert!(!world.submit(&dropped).await);
        let created = Timestamp::now();
        let mut age = 200;
        while world.states(&dropped.id).await == [PartState::Created] {
            age += 5;
            assert!(age < 300, "it is given up in the end");
            world.poll_at(created + SignedDuration::from_mins(age + off)).await.unwrap();
        }
        assert!(age > 4 * 60 + 15, "by a clock {off} minutes ahead, given up at {age} minutes");
        let again = created + SignedDuration::from_mins(age + off + 5);
        world.poll_at(again).await.unwrap();
        assert_eq!(world.states(&dropped.id).await, [PartState::Planned], "{off}");
        let ended = world.finish(&dropped).await;
        assert_all_rows(&good_file(6), ended.results());
        assert_eq!((world.api.jobs().len(), world.api.fed().len()), (2, 1), "{off}");
    }
}
