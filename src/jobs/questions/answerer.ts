/** Who answers questions at points of a trace. The runner knows only this. */
import type { Ask, QuestionPlace } from '../model/spec.js';
import type { StackFrame } from '../model/stack.js';

export interface Answer {
  /** The value as text, or what a call printed. */
  text: string;
}

/** One replay that goes from question to question. */
export interface QuestionAnswerer {
  /**
   * Goes to a place and answers there; cheapest in the order of the trace.
   * Throws RevenantError. E_USAGE, E_EXPRESSION, E_DIVERSION and E_DEBUGGER are the question's own (a place that is
   * never reached, an expression without meaning, a call that does not return, no gdb): others can be asked. After any other nothing can be asked any more.
   */
  answer(place: QuestionPlace, ask: Ask): Promise<Answer>;
  /** The stack where a question is asked, or at the first signal that ends a process; null where nobody can tell. Throws as `answer`. */
  stack(place: QuestionPlace | { kind: 'crash' }): Promise<StackFrame[] | null>;
  close(): void;
}
