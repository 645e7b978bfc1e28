/**
 * The layout of the control block and the ring-0 image. Must match native/kvm/control.h and
 * native/kvm/ring0/layout.h, where each field is explained; test/native/layout.spec.ts compares them.
 */

/** Byte offsets into the control block, which begins the pool. */
export const ControlOffset = {
  requestSeq: 0x00,
  command: 0x04,
  kick: 0x08,
  budgetMicros: 0x0c,
  value: 0x10,
  completeSeq: 0x40,
  result: 0x44,
  exitKind: 0x48,
  exitReason: 0x4c,
  exitDetail: 0x50,
  exitRip: 0x60,
  runIoctls: 0x68,
  stubExits: 0x70,
  completed: 0x78,
  payload: 0x1000,
} as const;

export const Command = {
  create: 1,
  destroy: 2,
  getSupportedCpuid: 3,
  setCpuid2: 4,
  getCpuid2: 5,
  setXcr0: 6,
  initLongMode: 7,
  setMsrs: 8,
  run: 9,
  ping: 10,
  spin: 11,
  setCompletion: 12,
} as const;
export type Command = (typeof Command)[keyof typeof Command];

export const ExitKind = { stub: 1, interrupted: 2, failed: 3 } as const;

/** Where the ring-0 image is in the pool. */
export const Ring0 = {
  context: 0x12000,
  pml4: 0x14000,
  pml4Slot: 511,
  xstate: 0x18000,
  xstateSize: 0x4000,
  x87: 0x1bc00,
  ldt: 0x20000,
  ldtSize: 0x10000,
  staged: 0x30000,
  stagedSize: 0x8000,
  end: 0x38000,
} as const;

/** Byte offsets into the context page. */
export const ContextOffset = {
  requests: 0x000,
  vector: 0x004,
  errorCode: 0x008,
  cr2: 0x010,
  dr6: 0x018,
  cr3: 0x020,
  ldt: 0x02c,
  dr0: 0x040,
  dr7: 0x060,
  stagedLeft: 0x088,
  stagedNext: 0x08c,
  registers: 0x108,
  xcr0: 0x208,
  originals: 0x210,
  flushCount: 0x218,
  flush: 0x220,
  gdt: 0x600,
} as const;

export const ContextRequest = {
  cr3: 0x01,
  xrstor: 0x02,
  fsGsBase: 0x04,
  segments: 0x08,
  debug: 0x10,
  xsave: 0x20,
  clearFip: 0x40,
  ldt: 0x80,
  xcr0: 0x100,
  flushPages: 0x200,
} as const;

/** Addresses that a request of `flushPages` has at most. */
export const MOST_FLUSHED = 8;

/** Byte offsets into a staged system call; `registers` in user_regs_struct order, `data` the first write. */
export const StagedOffset = {
  size: 0x00,
  requests: 0x04,
  writes: 0x08,
  rax: 0x10,
  rcx: 0x18,
  r11: 0x20,
  eflags: 0x28,
  origRax: 0x30,
  registers: 0x38,
  data: 0x110,
} as const;

/** Values of the context page's `vector`; 0 to 31 and 0x80 are the processor's own. */
export const Vector = {
  int80: 0x80,
  syscall: 0x100,
  xsaved: 0x101,
  interrupted: 0x102,
  syscallCompat: 0x103,
  staged: 0x104,
  /** Plus the vector of an exception inside the ring-0 stub. */
  ring0: 0x200,
} as const;

/** Selectors of descriptors that the engine writes. */
export const EngineSelector = { ldt: 0x50, tls: 0x60 } as const;

/** Linux's selectors of user code and data. */
export const Selector = { userCs: 0x33, user32Cs: 0x23, userSs: 0x2b } as const;

export const MAX_CPUID_ENTRIES = 256;
export const MAX_MSRS = 64;
