/** The kinds of machines that there are, by the names that options and documents have for them. Loads no machine. */
import { TRANSPORT_TITLES, type TransportKind } from '../engine/kvm/transport.js';

export type MachineKind = TransportKind;

/** What people call them, in the order in which `auto` tries them. `choose.ts` opens them. */
export const MACHINE_TITLES: Readonly<Record<MachineKind, string>> = TRANSPORT_TITLES;

/** The values of `--machine`. */
export type MachineChoice = MachineKind | 'auto';

export const MACHINE_KINDS = Object.keys(MACHINE_TITLES) as readonly MachineKind[];
export const MACHINE_CHOICES: readonly MachineChoice[] = [...MACHINE_KINDS, 'auto'];

/** Those that a choice leaves. */
export const kindsOf = (
  choice: MachineChoice,
  without: ReadonlySet<MachineKind> = new Set(),
): readonly MachineKind[] =>
  choice === 'auto' ? MACHINE_KINDS.filter((kind) => !without.has(kind)) : [choice];
