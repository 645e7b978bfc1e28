/** The variables of the environment that the command line reads; the manual page lists them. */
export const ENVIRONMENT = [
  {
    name: 'REVENANT_LOG',
    meaning: 'log JSON lines of this level and above to standard error: trace, debug, info, warn or error',
  },
  {
    name: 'XDG_CACHE_HOME',
    meaning: 'where caches are kept: checkpoints of traces in read-only folders, results of `ci`',
  },
  {
    name: '_RR_TRACE_DIR, XDG_DATA_HOME',
    meaning: "where rr keeps its traces, for commands without a trace or with a trace's name",
  },
  {
    name: 'REVENANT_SETUP',
    meaning: 'with `never`, an installed package does not install a missing QEMU automatically',
  },
] as const;
