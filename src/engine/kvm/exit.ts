/** How a run ended. Numbers, because they are compared once or twice per frame. */
export const Exit = {
  /** Still running: the budget is used up. Run again; nothing else may be touched. */
  Pending: 0,
  /** A system call instruction: rip is after it, rcx = rip, r11 = eflags, rax = the number. */
  Syscall: 1,
  /** An exception of the program: `context.vector`, `errorCode`, `cr2Low`, `cr2High`, `dr6`. */
  Exception: 2,
  /** Kicked in the program, between two instructions. A later run continues exactly there. */
  Interrupted: 3,
  /** The XSAVE area was filled (Machine.saveXstate). */
  XstateSaved: 4,
  /** The guest cannot go on: Machine.describeFailure(). */
  Failed: 5,
  /** The last of the staged system calls was made; the program is stopped after it. */
  Staged: 6,
} as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

/** KVM_EXIT_* of linux/kvm.h that a guest of ours can end with. */
const reasons: Readonly<Record<number, string>> = {
  0: 'an unknown hardware exit',
  2: 'an access to another I/O port',
  4: 'a debug exit',
  5: 'HLT',
  6: 'an access to a guest-physical address outside the pool',
  8: 'a triple fault',
  9: 'an entry that the processor refused',
  17: "an error inside KVM's emulation",
  24: 'a system event',
};

const exceptionNames: Readonly<Record<number, string>> = {
  0: '#DE',
  1: '#DB',
  2: 'NMI',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  8: '#DF',
  10: '#TS',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  18: '#MC',
  19: '#XM',
  20: '#VE',
  21: '#CP',
};

/** "#PF" for 14, "vector 15" for vectors without a name. */
export const exceptionName = (vector: number): string => exceptionNames[vector] ?? `vector ${vector}`;

/** The service's own reason: a kicked vCPU does not leave ring 0 (native/kvm/control.h). */
const STUCK = 0xfffe0000;
/** The process machine's (native/process/area.h). */
export const ProcessReason = {
  unmappable: 0xfffe0010,
  segment: 0xfffe0011,
  signal: 0xfffe0012,
  tiles: 0xfffe0013,
} as const;
const processReasons: Readonly<Record<number, string>> = {
  [ProcessReason.unmappable]: 'a page that cannot be mapped in the process',
  [ProcessReason.segment]: 'a segment that the process cannot have',
  [ProcessReason.signal]: 'a signal from outside',
  [ProcessReason.tiles]: 'tiles (AMX), which the kernel refuses',
};

/** As text: KVM's exit `reason` (Control::exit_reason), or a failed KVM_RUN (0xffff0000 | errno). */
export function reasonName(reason: number): string {
  if (reason >>> 16 === 0xffff) return `KVM_RUN failing with errno ${reason & 0xffff}`;
  if (reason === STUCK) return 'the vCPU staying in ring 0';
  return processReasons[reason] ?? reasons[reason] ?? `KVM exit ${reason}`;
}
