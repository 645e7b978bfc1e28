/** What developers ask at a breakpoint: of programs that run here and of their recordings, forwards and after coming back. */
import { expect, it } from 'vitest';
import { compare, whyNotLive } from '../../questions/ask.js';
import { programs } from '../../questions/lists.js';
import { traceOf } from '../../questions/programs.js';

for (const program of programs) {
  const trace = traceOf(program);
  const reason = whyNotLive(trace);
  const name = `${program.name} (${program.language}): the same answers live and in the recording, in both directions`;
  if (reason !== null) it.skip(`${name} (skipped: ${reason})`, () => {});
  else
    it(name, async () => {
      const answers = await compare(trace, program);
      expect(answers.length).toBeGreaterThanOrEqual(30);
      for (const { question, live, forwards, backwards } of answers)
        expect({ question, forwards, backwards }).toEqual({ question, forwards: live, backwards: live });
    });
}
