//! What comes back to an instance from outside its streams: answers to HTTP calls, ticks, items in queues.
//! Tasks hold the instance weakly: they never keep it alive.

use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use futures_util::future::{FutureExt, abortable};

use super::phases::to_u32;
use super::{Call, Env, Instance, ROOT, State, Task};
use crate::host::{CallRequest, CallResponse};
use crate::shared::{Queue, Watcher};

impl State {
    /// Sends an HTTP call on behalf of the effective context; its number is what the guest will be called back with.
    pub(crate) fn send_call(&mut self, service: &str, request: CallRequest) -> u32 {
        let token = self.calls.next_token();
        let limit = request.response_bytes_max;
        let (answer, abort) = abortable(self.env.host.http_call(service, request));
        self.calls.insert(token, Call { context: self.effective, task: Task(abort) });
        self.env.shared.counters.http_calls.fetch_add(1, Ordering::Relaxed);
        let instance = self.instance.clone();
        self.env.host.spawn(Box::pin(async move {
            // Aborted: the stream or the instance has ended, and nobody waits.
            let Ok(answer) = answer.await else { return };
            if let Some(instance) = instance.upgrade() {
                instance.deliver(token, answer.ok().filter(|response| response.body.len() <= limit));
            }
        }));
        token
    }

    /// Ticks from now on with this period, or no more.
    pub(crate) fn set_ticks(&mut self, period: Option<std::time::Duration>) {
        self.ticks.period = period;
        // The task that ticked until now ends here.
        self.ticks.task = period.map(|period| {
            let (instance, host) = (self.instance.clone(), self.env.host.clone());
            self.spawn(async move {
                loop {
                    host.sleep(period).await;
                    match instance.upgrade() {
                        Some(instance) => instance.tick(),
                        None => return,
                    }
                }
            })
        });
    }

    /// Tells this instance of every item that is put into the queue from now on.
    pub(crate) fn watch_queue(&mut self, id: u32, queue: Arc<Queue>) {
        if self.queues.iter().any(|(watched, _)| *watched == id) {
            return;
        }
        let task = self.spawn(watch(self.instance.clone(), Rc::clone(&self.env), id, queue));
        self.queues.push((id, task));
    }

    /// Runs a task of this instance, which ends when the handle is dropped.
    fn spawn(&self, task: impl Future<Output = ()> + 'static) -> Task {
        let (task, abort) = abortable(task);
        // Whether it ended early or by itself is nobody's concern.
        self.env.host.spawn(Box::pin(task.map(|_| ())));
        Task(abort)
    }
}

/// How often an instance is told of items without a pause: a filter that puts in an item for each that it takes must
/// not have the worker to itself.
const QUEUE_BURST: u32 = 64;

async fn watch(instance: Weak<Instance>, env: Rc<Env>, id: u32, queue: Arc<Queue>) {
    let mut watcher = Watcher::new(queue);
    let mut told = 0;
    loop {
        poll_fn(|cx| watcher.poll_put(cx)).await;
        match instance.upgrade() {
            Some(instance) => instance.queue_ready(id),
            None => return,
        }
        told = (told + 1) % QUEUE_BURST;
        match told {
            0 => env.host.sleep(env.config.limits.tick_period).await,
            _ => yield_once().await,
        }
    }
}

/// Lets the worker's other tasks run.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Instance {
    /// Hands the answer of an HTTP call to the guest; none is how the ABI says that there was none.
    fn deliver(&self, token: u32, answer: Option<CallResponse>) {
        let Some(Some(context)) = self.with_state(|state| state.calls.remove(token)) else { return };
        if let Some(func) = &self.exports.http_call_response {
            let (headers, body, trailers) = match &answer {
                // One more for `:status`.
                Some(answer) => (answer.head.headers.len() + 1, answer.body.len(), answer.trailers.len()),
                None => (0, 0, 0),
            };
            self.with_state(|state| state.call_response = answer);
            // A trap was counted and logged by `call`, and woke the streams of the instance.
            let called = self.call(ROOT, func, (ROOT, token, to_u32(headers), to_u32(body), to_u32(trailers)));
            drop(called);
            self.with_state(|state| state.call_response = None);
        }
        // If the guest let the chance to resume pass, the stream must see that none may be left.
        self.with_slot(context, |slot, _| slot.wake());
    }

    fn tick(&self) {
        if let Some(func) = &self.exports.tick {
            // A trap was counted and logged by `call`.
            let called = self.call(ROOT, func, ROOT);
            drop(called);
        }
    }

    fn queue_ready(&self, id: u32) {
        if let Some(func) = &self.exports.queue_ready {
            // A trap was counted and logged by `call`.
            let called = self.call(ROOT, func, (ROOT, id));
            drop(called);
        }
    }
}
