//! The start of an instance: instantiate, initialise, root context, `on_vm_start`, `on_configure`.
//! Whatever goes wrong here is one failure of kind `Start`, with its cause in words.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use wasmtime::{Store, TypedFunc, WasmParams, WasmResults};

use super::exports::func;
use super::state::Deadline;
use super::{Env, Exports, Guest, Inner, Instance, ROOT, State};
use crate::outcome::{FailureKind, FilterFailure};

impl Instance {
    /// Starts an instance and configures it.
    pub(crate) fn start(env: &Rc<Env>) -> Result<Rc<Self>, FilterFailure> {
        let (instance, initial) = Self::instantiate(env).map_err(|message| {
            let failure = env.failure(FailureKind::Start, &message);
            env.report(&failure);
            failure
        })?;
        instance.initialise(initial)?;
        instance.configure()?;
        env.shared.counters.instances_started.fetch_add(1, Ordering::Relaxed);
        Ok(instance)
    }

    fn instantiate(env: &Rc<Env>) -> Result<(Rc<Self>, Initial), String> {
        let module = &env.config.module;
        let (memory, most) = (env.config.limits.memory, module.engine.config().memory);
        if memory > most {
            return Err(format!("limits.memory is {memory} bytes, more than the {most} of this process"));
        }
        let limits = &env.config.limits;
        let shortest = limits.time_per_call.min(limits.time_to_start);
        module.engine.start_clock(shortest).map_err(|error| format!("no thread for deadlines: {error}"))?;
        let mut store = Store::new(module.engine.raw(), State::new(Rc::clone(env)));
        store.limiter(|state| &mut state.limiter);
        store.data_mut().deadline = Deadline::of(limits.time_to_start);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().deadline.tick()));
        store.set_epoch_deadline(1);
        let text = |error: wasmtime::Error| format!("{error:#}");
        let guest = module.pre.instantiate(&mut store).map_err(text)?;
        let memory = guest.get_memory(&mut store, "memory").ok_or("no memory is exported")?;
        let allocate =
            func(&guest, &mut store, "proxy_on_memory_allocate").or_else(|| func(&guest, &mut store, "malloc"));
        store.data_mut().guest = Some(Guest { memory, allocate });
        let initial = Initial::look_up(&guest, &mut store);
        let exports = Exports::look_up(&guest, &mut store);
        let instance = Rc::new_cyclic(|weak| {
            store.data_mut().instance = weak.clone();
            Self {
                inner: RefCell::new(Inner::Live(Box::new(store))),
                exports,
                env: Rc::clone(env),
                served: Cell::new(0),
                dead: Cell::new(false),
                deleting: Cell::new(false),
            }
        });
        Ok((instance, initial))
    }

    fn initialise(&self, initial: Initial) -> Result<(), FilterFailure> {
        match initial {
            Initial::Nothing => Ok(()),
            Initial::Command(start) => self.start_call("_start", &start, ()),
            Initial::Reactor(initialize, main) => {
                self.start_call("_initialize", &initialize, ())?;
                match main {
                    Main::None => Ok(()),
                    Main::WithArguments(main) => self.start_call("main", &main, (0, 0)).map(drop),
                    Main::Void(main) => self.start_call("__main_void", &main, ()).map(drop),
                }
            }
        }
    }

    fn configure(&self) -> Result<(), FilterFailure> {
        if let Some(create) = &self.exports.context_create {
            self.start_call("proxy_on_context_create", create, (ROOT, 0))?;
        }
        if let Some(vm_start) = &self.exports.vm_start {
            // There is no configuration of the machine apart from the plugin's.
            let accepted = self.start_call("proxy_on_vm_start", vm_start, (ROOT, 0))?;
            self.expect_true("proxy_on_vm_start", accepted)?;
        }
        if let Some(configure) = &self.exports.configure {
            let size = u32::try_from(self.env.config.configuration.len()).unwrap_or(u32::MAX);
            let accepted = self.start_call("proxy_on_configure", configure, (ROOT, size))?;
            self.expect_true("proxy_on_configure", accepted)?;
        }
        Ok(())
    }

    fn start_call<P: WasmParams, R: WasmResults>(
        &self,
        name: &str,
        func: &TypedFunc<P, R>,
        params: P,
    ) -> Result<R, FilterFailure> {
        let allowed = self.env.config.limits.time_to_start;
        self.call_within(allowed, ROOT, func, params).map_err(|failure| {
            let message = format!("{name}: {}: {}", failure.kind.name(), failure.message);
            self.env.failure(FailureKind::Start, &message)
        })
    }

    fn expect_true(&self, name: &str, accepted: u32) -> Result<(), FilterFailure> {
        if accepted != 0 {
            return Ok(());
        }
        let message = format!("{name} returned false: the filter refuses its configuration");
        let failure = self.env.failure(FailureKind::Start, &message);
        self.env.report(&failure);
        Err(failure)
    }
}

/// What the toolchain wants to have run first.
enum Initial {
    Nothing,
    /// `_start`.
    Command(TypedFunc<(), ()>),
    /// `_initialize`, then the program's `main`.
    Reactor(TypedFunc<(), ()>, Main),
}

enum Main {
    None,
    WithArguments(TypedFunc<(u32, u32), u32>),
    Void(TypedFunc<(), u32>),
}

impl Initial {
    fn look_up(guest: &wasmtime::Instance, store: &mut Store<State>) -> Self {
        if let Some(initialize) = func(guest, store, "_initialize") {
            let main = func(guest, store, "main").map(Main::WithArguments);
            let main = main.or_else(|| func(guest, store, "__main_void").map(Main::Void));
            return Self::Reactor(initialize, main.unwrap_or(Main::None));
        }
        func(guest, store, "_start").map_or(Self::Nothing, Self::Command)
    }
}
