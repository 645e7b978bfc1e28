/** The stack of a program at a failure, for reports. Plain data. */

export interface StackFrame {
  /** Null without a symbol. */
  function: string | null;
  address: string;
  file: string | null;
  line: number | null;
  /** Surrounding lines from a file of the project; empty if there is none. */
  source: { number: number; text: string; current: boolean }[];
  /** Arguments first. */
  variables: { name: string; value: string; argument: boolean }[];
}

export interface ProgramStack {
  /** The failure: `SIGSEGV`, `Question the sum is right`. */
  what: string;
  /** In the format of --goto and --at. */
  place: string;
  frames: StackFrame[];
}
