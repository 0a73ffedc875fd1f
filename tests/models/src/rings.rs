//! The ring: both queues, from both sides, and whose turn it is.
use crate::{
    host::ring::{
        figures,
        queue::{AppSide, Batch, CompletionSlot, DriverSide, Shared, SubmissionSlot},
        slot::Slot,
    },
    models::model,
};
use kp_abi::{Error, Status, ring::Submission};
use loom::{
    cell::UnsafeCell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering::*},
    },
    thread,
};

/// A ring's shared memory.
struct Memory {
    indices: [AtomicU32; 4],
    submissions: Vec<SubmissionSlot>,
    completions: Vec<CompletionSlot>,
}

impl Memory {
    fn new(entries: usize) -> Self {
        Self {
            indices: std::array::from_fn(|_| AtomicU32::new(0)),
            submissions: (0..entries).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect(),
            completions: (0..entries).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect(),
        }
    }
}

impl<'m> Shared<'m> for &'m Memory {
    fn entries(&self) -> u32 {
        self.submissions.len() as u32
    }
    fn sq_tail(&self) -> &'m AtomicU32 {
        &self.indices[0]
    }
    fn cq_head(&self) -> &'m AtomicU32 {
        &self.indices[1]
    }
    fn sq_head(&self) -> &'m AtomicU32 {
        &self.indices[2]
    }
    fn cq_tail(&self) -> &'m AtomicU32 {
        &self.indices[3]
    }
    fn submission(&self, index: u32) -> &'m SubmissionSlot {
        &self.submissions[index as usize % self.submissions.len()]
    }
    fn completion(&self, index: u32) -> &'m CompletionSlot {
        &self.completions[index as usize % self.completions.len()]
    }
}

/// A submission that can be told from any other, and from none: each of its words follows from `n`, which is not 0.
fn submission(n: u64) -> Submission {
    let small = n as u32;
    Submission {
        user_data: n,
        message: small,
        flags: 0,
        args_len: n as u16,
        in_word: small,
        in_len: small,
        out_word: small,
        out_len: small,
        inline: [0; 4],
    }
}

/// One RING_ENTER: how many it took.
fn enter(side: &mut DriverSide, words: &&Memory) -> Result<u32, Status> {
    let Batch { submitted, room } = side.begin(words, u32::MAX)?;
    let count = submitted.min(room);
    let first = side.answered();
    while side.answered() != first + count {
        let taken = side.take(words);
        let n = taken.user_data as usize;
        assert_ne!(n, 0, "a slot that nobody has filled");
        let number = taken.number() as usize;
        let parts = [number, taken.args_len(), taken.in_word(), taken.in_len(), taken.out_word(), taken.out_len()];
        assert_eq!(parts, [n; 6], "a submission in pieces");
        assert_eq!((taken.flags(), taken.inline.len()), (0, 4));
        side.post(words, taken.user_data, Status::OK, n as u32);
    }
    side.end(words);
    Ok(count)
}

#[test]
fn whole_submissions_arrive_and_so_do_whole_completions() {
    model(|| {
        let memory = Arc::new(Memory::new(1));
        let driver = {
            let memory = memory.clone();
            thread::spawn(move || {
                let mut side = DriverSide::START;
                (0..2).map(|_| enter(&mut side, &&*memory).expect("this app is honest")).sum::<u32>()
            })
        };
        let words = &*memory;
        let mut side = AppSide::new(1);
        let (mut sent, mut answered) = (0, 0);
        // The second round reuses the only slot, if the driver has let it go by then.
        for _ in 0..2 {
            side.look(&words);
            if side.push(&words, &submission(9)) {
                side.take_back();
                side.push(&words, &submission(sent + 1));
                sent += 1;
            }
            side.publish(&words);
            while let Some(answer) = side.pop(&words) {
                answered += 1;
                assert_eq!(answer, (answered, Error::new(Status::OK, answered as u32)));
            }
            side.release(&words);
        }
        let taken = u64::from(driver.join().unwrap());
        while let Some(answer) = side.pop(&words) {
            answered += 1;
            assert_eq!(answer, (answered, Error::new(Status::OK, answered as u32)));
        }
        assert!(answered == taken && taken <= sent);
    });
}

#[test]
fn indices_that_change_meanwhile_give_a_batch_that_fits_or_none() {
    model(|| {
        let memory = Arc::new(Memory::new(2));
        let hostile = {
            let memory = memory.clone();
            thread::spawn(move || {
                for (tail, head) in [(2, 0), (u32::MAX, 7)] {
                    memory.indices[0].store(tail, Relaxed);
                    memory.indices[1].store(head, Relaxed);
                }
            })
        };
        let words = &*memory;
        let mut side = DriverSide::START;
        for _ in 0..2 {
            match side.begin(&words, u32::MAX) {
                Ok(Batch { submitted, room }) => {
                    assert!(submitted <= 2 && room <= 2, "{submitted} submissions, room for {room}");
                    for _ in 0..submitted.min(room) {
                        let taken = side.take(&words);
                        side.post(&words, taken.user_data, Status::OK, 0);
                    }
                    side.end(&words);
                }
                Err(status) => assert_eq!(status, Status::RING_CORRUPT),
            }
        }
        hostile.join().unwrap();
    });
}

/// A ring: loom finds out if two use it at once, or one that is gone.
struct Ring {
    uses: UnsafeCell<u32>,
    dropped: Arc<AtomicU32>,
}

impl Ring {
    fn used(&self) {
        // SAFETY: what the model is about: whoever has the slot is alone.
        self.uses.with_mut(|uses| unsafe { *uses += 1 });
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.used();
        self.dropped.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_revoked_ring_is_dropped_once_by_whoever_is_last() {
    model(|| {
        let dropped = Arc::new(AtomicU32::new(0));
        let slot = Arc::new(Slot::new());
        let ring = Ring { uses: UnsafeCell::new(0), dropped: dropped.clone() };
        slot.with(|slot| *slot = Some(ring)).expect("nobody else has it");
        let others: Vec<_> = (0..2)
            .map(|_| {
                let slot = slot.clone();
                thread::spawn(move || match slot.with(|slot| slot.as_ref().expect("still there").used()) {
                    Ok(()) => {}
                    Err(status) => assert!([Status::BUSY, Status::CLOSED].contains(&status)),
                })
            })
            .collect();
        slot.revoke();
        slot.revoke();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(dropped.load(Relaxed), 1);
        assert_eq!(slot.with(|_| ()), Err(Status::CLOSED));
    });
}

/// Whose memory a ring is takes it away while another request is in it, is about to be, and a third tears the session down: it is dropped once, by
/// whoever is last, and what is put there afterwards stays.
#[test]
fn a_discarded_ring_is_dropped_once_and_the_next_one_stays() {
    for revokes in [false, true] {
        model(move || {
            let dropped = Arc::new(AtomicU32::new(0));
            let slot = Arc::new(Slot::new());
            let ring = |dropped: &Arc<AtomicU32>| Ring { uses: UnsafeCell::new(0), dropped: dropped.clone() };
            slot.with(|slot| *slot = Some(ring(&dropped))).expect("nobody else has it");
            let user = {
                let slot = slot.clone();
                thread::spawn(move || match slot.with(|ring| ring.as_ref().map(Ring::used)) {
                    Ok(_) => {}
                    Err(status) => assert!([Status::BUSY, Status::CLOSED].contains(&status)),
                })
            };
            let end = revokes.then(|| {
                let slot = slot.clone();
                thread::spawn(move || slot.revoke())
            });
            drop(slot.discard());
            drop(slot.discard());
            user.join().unwrap();
            end.into_iter().for_each(|end| end.join().unwrap());
            assert_eq!(dropped.load(Relaxed), 1);
            let next = slot.with(|slot| {
                assert!(slot.is_none(), "it is gone");
                *slot = Some(ring(&dropped));
            });
            assert_eq!(next, if revokes { Err(Status::CLOSED) } else { Ok(()) });
            assert_eq!(dropped.load(Relaxed), 1, "nobody has taken that one away");
        });
    }
}

/// A ring is made while the memory of the one before is taken back, of which the table of buffers says by then whose the ring is: the new one stays,
/// unless it is its own memory that is taken back.
#[test]
fn a_ring_goes_with_its_own_memory_and_not_with_that_of_the_one_before() {
    const BEFORE: u32 = 1;
    const NEW: u32 = 2;
    for taken in [BEFORE, NEW] {
        model(move || {
            let dropped = Arc::new(AtomicU32::new(0));
            let slot = Arc::new(Slot::new());
            let made_of = Arc::new(Mutex::new(BEFORE));
            let maker = {
                let (slot, made_of) = (slot.clone(), made_of.clone());
                let ring = Ring { uses: UnsafeCell::new(0), dropped: dropped.clone() };
                thread::spawn(move || {
                    slot.with(|place| {
                        let mut made_of = made_of.lock().unwrap();
                        *made_of = NEW;
                        slot.keep();
                        drop(made_of);
                        *place = Some(ring);
                    })
                })
            };
            let made_of = made_of.lock().unwrap();
            let was_it = *made_of == taken;
            let ring = if was_it { slot.discard() } else { None };
            drop(made_of);
            drop(ring);
            let made = maker.join().unwrap();
            let there = slot.with(|ring| ring.is_some()).expect("nobody is in it any more");
            assert_eq!(there, made.is_ok() && !(was_it && taken == NEW));
            assert_eq!(dropped.load(Relaxed), u32::from(!there));
        });
    }
}

/// One enabling has counted to 5 when the next one begins: a reader has the figures of one or of the other, or has to read again.
#[test]
fn the_page_has_the_figures_of_the_enabling_that_it_names() {
    model(|| {
        let page = Arc::new([AtomicU64::new(1), AtomicU64::new(1), AtomicU64::new(5), AtomicU64::new(5)]);
        let driver = {
            let page = page.clone();
            thread::spawn(move || {
                let [number, vectors, counters @ ..] = &*page;
                figures::begin(number, (vectors, 1), counters.iter(), 2);
            })
        };
        let [number, _, counters @ ..] = &*page;
        match figures::read(number, || counters.each_ref().map(|word| word.load(Acquire))) {
            Some((1, figures)) => assert_eq!(figures, [5; 2], "the first enabling's"),
            Some((2, figures)) => assert_eq!(figures, [0; 2], "the second enabling's"),
            Some((0, _)) | None => {}
            Some((generation, _)) => panic!("enabling {generation}"),
        }
        driver.join().unwrap();
    });
}
