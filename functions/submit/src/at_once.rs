//! How many parts are uploaded at the same time: fewer while the API or the store says that it is too
//! much, and more again, one by one, while it goes well.

/// Halved by answers of "too many requests", once for all parts that were under way then, and raised by
/// one after as many uploads as are allowed: the way in which TCP shares a line (additive increase,
/// multiplicative decrease; RFC 5681).
#[derive(Debug)]
pub(crate) struct AtOnce {
    most: usize,
    now: usize,
    /// Uploads that went well since the last change.
    well: usize,
    /// The answers of "too many requests" that were seen.
    busy: u64,
    /// How many parts that were under way at the last halving are still to come.
    settling: usize,
}

impl AtOnce {
    /// At most `most`, which is also where it begins. There were `busy` such answers before.
    pub(crate) fn new(most: usize, busy: u64) -> Self {
        AtOnce { most, now: most, well: 0, busy, settling: 0 }
    }

    pub(crate) fn now(&self) -> usize {
        self.now
    }

    /// A part is done with, and so many others are under way; there have been `busy` such answers by
    /// now, to whatever call. Returns whether the number changes.
    pub(crate) fn add(&mut self, is_well: bool, others: usize, busy: u64) -> bool {
        let before = self.now;
        let is_busy = busy > self.busy;
        self.busy = busy;
        if self.settling > 0 {
            self.settling -= 1;
        } else if is_busy {
            (self.now, self.well, self.settling) = ((self.now / 2).max(1), 0, others);
        } else if is_well {
            self.well += 1;
            if self.well >= self.now && self.now < self.most {
                (self.now, self.well) = (self.now + 1, 0);
            }
        }
        self.now != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_down_to_one_and_rises_one_by_one_to_the_setting() {
        let mut at_once = AtOnce::new(8, 3);
        at_once.add(true, 7, 3);
        assert_eq!(at_once.now(), 8, "never more than the setting");
        for expected in [4, 2, 1, 1] {
            at_once.add(false, 0, at_once.busy + 1);
            assert_eq!(at_once.now(), expected);
        }
        at_once.add(false, 0, at_once.busy);
        assert_eq!(at_once.now(), 1, "a part that failed for another reason");
        let raised: Vec<usize> = (0..20)
            .map(|_| {
                at_once.add(true, 0, at_once.busy);
                at_once.now()
            })
            .collect();
        assert_eq!(raised[..7], [2, 2, 3, 3, 3, 4, 4]);
        assert_eq!(at_once.now(), 6);
        at_once.add(true, 0, at_once.busy + 5);
        assert_eq!(at_once.now(), 3, "many at the same time halve it once");
    }

    #[test]
    fn parts_that_were_under_way_when_it_was_halved_do_not_halve_it_again() {
        let mut at_once = AtOnce::new(8, 0);
        at_once.add(false, 3, 1);
        for busy in 2..=4 {
            at_once.add(false, 0, busy);
            assert_eq!(at_once.now(), 4);
        }
        at_once.add(false, 0, 5);
        assert_eq!(at_once.now(), 2);
    }
}
