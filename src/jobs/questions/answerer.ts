/** Who answers questions at points of a trace. The runner knows only this. */
import type { Ask, Place } from '../spec.js';

export interface Answer {
  /** The value as text, or what a call printed. */
  text: string;
}

/** One replay that goes forward from question to question. */
export interface QuestionAnswerer {
  /**
   * Goes to a place and answers there; later places only, in the order of the trace.
   * Throws RevenantError: the place is never reached, the expression is wrong, the replay diverged.
   */
  answer(place: Place, ask: Ask): Promise<Answer>;
  close(): void;
}
