//! The process-wide part: the wasmtime engine with its pool of memories, and the ticker by which deadlines pass.
//! Never runs guest code.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::ModuleCache;
use crate::instance::State;
use crate::linker;
use crate::module::{CompileError, Module};

/// The engine's clock ticks no more often than this, however short deadlines are: each tick wakes a thread.
const TICK_MIN: Duration = Duration::from_millis(1);
/// Nor does it tick more seldom than this.
const TICK_MAX: Duration = Duration::from_millis(5);
/// Ticks within the shortest deadline, if those bounds allow it: a call may be ended two ticks late.
const TICKS_PER_DEADLINE: u32 = 4;

/// Most that a 32-bit guest can address.
const MEMORY_MAX: usize = 4 << 30;

/// Most bytes of guest and host stack that a callback may use.
const STACK_BYTES: usize = 512 << 10;

/// Limits of all filters of the process together.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Most instances at once, all filters and workers together. Each reserves 4 GiB of address space, not memory.
    pub instances: u32,
    /// Most bytes of linear memory that any filter may be given; by default all that 32 bits can address, which costs
    /// nothing until a filter's own limit allows it.
    pub memory: usize,
    /// Most entries of an instance's table of functions.
    pub table_entries: usize,
    /// Most bytes of a module.
    pub module_bytes: usize,
    /// Where compiled modules are kept between runs. It must be a directory that only this user may enter (it is made
    /// so where it does not exist), because what lies there is run unchecked.
    pub cache: Option<PathBuf>,
}

/// The engine that compiles and runs the filters of this process. Cheap to clone.
#[derive(Clone)]
pub struct WasmEngine {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    linker: wasmtime::Linker<State>,
    config: EngineConfig,
    cache: Option<ModuleCache>,
    clock_started: Mutex<bool>,
    /// In nanoseconds.
    tick: Arc<AtomicU64>,
}

/// The engine cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The limits do not fit the machine, for instance its address space.
    #[error(
        "cannot reserve room for {instances} Wasm instances (is the address space limited, as by ulimit -v?): {message}"
    )]
    Setup {
        /// As configured.
        instances: u32,
        /// What wasmtime says.
        message: String,
    },
    /// The module cache cannot be used.
    #[error("module cache {path}: {message}")]
    Cache {
        /// Its directory.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { instances: 1000, memory: MEMORY_MAX, table_entries: 20_000, module_bytes: 64 << 20, cache: None }
    }
}

// === impl WasmEngine ===

impl WasmEngine {
    /// Sets the engine up.
    ///
    /// # Errors
    /// When the machine has no room for what `config` asks, or the cache directory is open to others.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let setup =
            |error: wasmtime::Error| EngineError::Setup { instances: config.instances, message: format!("{error:#}") };
        let engine = Engine::new(&wasmtime_config(&config)).map_err(setup)?;
        let linker = linker::linker(&engine).map_err(setup)?;
        let cache = config.cache.clone().map(|path| ModuleCache::open(path, &engine)).transpose()?;
        let (clock_started, tick) = (Mutex::new(false), Arc::new(AtomicU64::new(nanos(TICK_MAX))));
        Ok(Self { inner: Arc::new(Inner { engine, linker, config, cache, clock_started, tick }) })
    }

    /// Checks and compiles a module, or loads it from the cache. Takes from a millisecond to seconds of processor time:
    /// call it off the workers.
    ///
    /// # Errors
    /// [`CompileError`] says what the module lacks.
    pub fn compile(&self, bytes: &[u8]) -> Result<Arc<Module>, CompileError> {
        Module::compile(self, bytes).map(Arc::new)
    }

    /// The limits that this engine was made with.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    pub(crate) fn raw(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn linker(&self) -> &wasmtime::Linker<State> {
        &self.inner.linker
    }

    pub(crate) fn cache(&self) -> Option<&ModuleCache> {
        self.inner.cache.as_ref()
    }

    /// Starts the thread that moves the engine's clock, once; it ends with the engine. From now on the clock ticks often
    /// enough for a deadline of this length.
    ///
    /// # Errors
    /// When the machine gives no thread. Deadlines would not pass then, so no instance may start.
    pub(crate) fn start_clock(&self, deadline: Duration) -> std::io::Result<()> {
        let tick = (deadline / TICKS_PER_DEADLINE).clamp(TICK_MIN, TICK_MAX);
        self.inner.tick.fetch_min(nanos(tick), Ordering::Relaxed);
        // Held while the thread is started: one clock is enough.
        let mut started = self.inner.clock_started.lock().unwrap_or_else(PoisonError::into_inner);
        if *started {
            return Ok(());
        }
        let (engine, period) = (self.inner.engine.weak(), self.inner.tick.clone());
        let tick = move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(Duration::from_nanos(period.load(Ordering::Relaxed)));
            }
        };
        std::thread::Builder::new().name("wasm-clock".into()).spawn(tick)?;
        *started = true;
        Ok(())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for WasmEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmEngine").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

fn wasmtime_config(limits: &EngineConfig) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(limits.instances)
        .total_memories(limits.instances)
        .total_tables(limits.instances)
        .max_memories_per_module(1)
        .max_tables_per_module(1)
        .table_elements(limits.table_entries)
        .max_memory_size(limits.memory)
        // Memory of an ended instance goes back at once: keeping it resident makes starts slower, not faster.
        .linear_memory_keep_resident(0)
        .table_keep_resident(0);
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
