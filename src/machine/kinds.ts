/** The kinds of machines that there are, by the names that options and documents have for them. Loads no machine. */

/** What people call them. `choose.ts` opens them. */
export const MACHINE_TITLES = {
  host: "the host's KVM",
  process: 'the process machine',
  emulated: 'the emulated machine',
} as const;

export type MachineKind = keyof typeof MACHINE_TITLES;
/** The values of `--machine`. */
export type MachineChoice = MachineKind | 'auto';

export const MACHINE_KINDS = Object.keys(MACHINE_TITLES) as readonly MachineKind[];
export const MACHINE_CHOICES: readonly MachineChoice[] = [...MACHINE_KINDS, 'auto'];

/** What `auto` tries, in this order. */
const AUTOMATIC: readonly MachineKind[] = ['host', 'process', 'emulated'];

/** Those that a choice leaves. */
export const kindsOf = (
  choice: MachineChoice,
  without: ReadonlySet<MachineKind> = new Set(),
): readonly MachineKind[] => (choice === 'auto' ? AUTOMATIC.filter((kind) => !without.has(kind)) : [choice]);
