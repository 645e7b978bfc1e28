/** The stack of a program where something is wrong, for reports. Plain data. */

export interface StackFrame {
  /** Null where no symbol is known. */
  function: string | null;
  address: string;
  file: string | null;
  line: number | null;
  /** Lines around, from a file of the project; empty where there is none. */
  source: { number: number; text: string; current: boolean }[];
  /** Arguments first. */
  variables: { name: string; value: string; argument: boolean }[];
}

export interface ProgramStack {
  /** What happened there: `SIGSEGV`, `Question the sum is right`. */
  what: string;
  /** Written so that --goto and --at take it. */
  place: string;
  frames: StackFrame[];
}
