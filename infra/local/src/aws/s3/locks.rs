//! One lock for each object, made when it is first asked for.

use crate::sync::locked;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

type Name = (String, String);

/// The locks of objects, by bucket and key.
#[derive(Debug, Default)]
pub(crate) struct Locks(Mutex<HashMap<Name, Weak<RwLock<()>>>>);

impl Locks {
    /// Shared with other readers of the object, never with a writer.
    pub(crate) async fn read(&self, bucket: &str, key: &str) -> OwnedRwLockReadGuard<()> {
        self.of(bucket, key).read_owned().await
    }

    pub(crate) async fn write(&self, bucket: &str, key: &str) -> OwnedRwLockWriteGuard<()> {
        self.of(bucket, key).write_owned().await
    }

    fn of(&self, bucket: &str, key: &str) -> Arc<RwLock<()>> {
        let mut locks = locked(&self.0);
        let name = (bucket.to_owned(), key.to_owned());
        if let Some(lock) = locks.get(&name).and_then(Weak::upgrade) {
            return lock;
        }
        // A new lock is the moment to forget those nobody holds, so that the map stays as small as
        // what is in use.
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(RwLock::new(()));
        locks.insert(name, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_share_writers_do_not_and_nothing_is_kept() {
        let locks = Locks::default();
        let first = locks.read("b", "k").await;
        let second = locks.read("b", "k").await;
        assert!(locks.of("b", "k").try_write().is_err());
        drop((first, second));
        let writer = locks.write("b", "k").await;
        assert!(locks.of("b", "k").try_read().is_err());
        drop(writer);
        drop(locks.write("b", "other").await);
        assert!(locked(&locks.0).len() <= 1);
    }
}
