/** Answers questions at places of a trace. The runner uses only this interface. */
import type { Ask, QuestionPlace } from '../model/spec.js';
import type { StackFrame } from '../model/stack.js';

export interface Answer {
  /** The value as text, or what a call printed. */
  text: string;
}

/** One replay that goes from question to question. */
export interface QuestionAnswerer {
  /**
   * Goes to a place and answers there; cheapest in the order of the trace. Throws RevenantError.
   * E_USAGE, E_EXPRESSION, E_DIVERSION and E_DEBUGGER concern only this question (a place that is
   * never reached, an invalid expression, a call that does not return, no gdb): others can be
   * answered. After other errors no question can be answered.
   */
  answer(place: QuestionPlace, ask: Ask): Promise<Answer>;
  /**
   * The stack at a question's place, or at the first signal that ends a process; null if it cannot be determined.
   * Throws as `answer`.
   */
  stack(place: QuestionPlace | { kind: 'crash' }): Promise<StackFrame[] | null>;
  close(): void;
}
