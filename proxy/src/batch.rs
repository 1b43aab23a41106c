//! Writing together what becomes ready together. On a busy worker many requests are ready at once: each goes as far as
//! its write and lets the others come as far, then all write. So the code of one step stays in the processor's caches
//! for all of them, and a peer that sleeps is woken once for many writes. A worker that is not busy does not wait.

use std::cell::Cell;

/// Others that come as far while one waits, from which on it pays.
const COMPANY_MIN: u32 = 4;
/// How many wait in vain before no more do.
const PATIENCE: u32 = 16;
/// Of so many, one tries whether it pays again.
const TRY_EVERY: u32 = 32;

/// Where the requests of a worker meet before they write.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many came here.
    came: Cell<u32>,
    /// How many more wait, should they wait in vain.
    patience: Cell<u32>,
}

impl Batch {
    /// Waits until all that is ready has come as far, if others are likely to.
    pub async fn gather(&self) {
        let turn = self.came.get().wrapping_add(1);
        self.came.set(turn);
        if self.patience.get() == 0 && !turn.is_multiple_of(TRY_EVERY) {
            return;
        }
        // Back once every task that is ready has run, and sockets were looked at.
        tokio::task::yield_now().await;
        let company = self.came.get().wrapping_sub(turn);
        self.patience.set(if company >= COMPANY_MIN { PATIENCE } else { self.patience.get().saturating_sub(1) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{FutureExt, join_all};
    use std::rc::Rc;

    fn on_a_worker(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap().block_on(test);
    }

    /// How many of so many, one after the other, have to wait.
    fn waiting(batch: &Batch, requests: u32) -> usize {
        (0..requests).filter(|_| batch.gather().now_or_never().is_none()).count()
    }

    #[test]
    fn who_comes_alone_seldom_waits() {
        on_a_worker(async {
            assert_eq!(waiting(&Batch::default(), 10 * TRY_EVERY), 10);
        });
    }

    #[test]
    fn who_comes_in_company_waits_for_all_until_no_more_come() {
        on_a_worker(async {
            let (batch, many) = (Rc::new(Batch::default()), 2 * TRY_EVERY);
            let request = |_| {
                let batch = batch.clone();
                tokio::task::spawn_local(async move {
                    batch.gather().await;
                    batch.came.get()
                })
            };
            // One tries, and finds company.
            join_all((0..many).map(request)).await;
            let seen = join_all((0..many).map(request)).await;
            assert!(seen.into_iter().all(|came| came.unwrap() == 2 * many));
            // They come alone from now on: some wait in vain, then no more do.
            for _ in 0..PATIENCE {
                batch.gather().await;
            }
            assert_eq!(batch.patience.get(), 0);
        });
    }
}
