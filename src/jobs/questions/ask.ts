/** Evaluates a job's questions, in the order of the trace, and compares the answers. */
import { type ErrorCode, RevenantError } from '../../engine/base/errors.js';
import { describeTest, streamOf, testStream, testValue } from '../checks/text.js';
import type { JobResult, Problem, QuestionResult } from '../model/result.js';
import { problem } from '../model/result.js';
import { askCommand, placeWords } from '../model/reproduce.js';
import { askText, placeText, type JobSpec, type Question, type QuestionPlace } from '../model/spec.js';
import type { QuestionAnswerer } from './answerer.js';

/** Frames by number, then symbols by hit, then the end: one replay seldom has to go back. */
export function inOrder(questions: readonly Question[]): Question[] {
  return [...questions].sort(({ at: left }, { at: right }) => {
    if (left.kind === 'frame' && right.kind === 'frame') return left.frame - right.frame;
    if (left.kind === 'symbol' && right.kind === 'symbol')
      return left.symbol.localeCompare(right.symbol) || left.hit - right.hit;
    return RANK[left.kind] - RANK[right.kind];
  });
}

const RANK: Record<QuestionPlace['kind'], number> = { frame: 0, symbol: 1, exit: 2 };

/** What is the question's own fault; everything else is the replay's, and ends the asking. */
const ANSWERABLE: ReadonlySet<string> = new Set<ErrorCode>([
  'E_USAGE',
  'E_EXPRESSION',
  'E_DIVERSION',
  'E_DEBUGGER',
]);

/**
 * Adds a QuestionResult for each question, in the manifest's order, and a problem for each that fails. A question
 * that cannot be answered fails its job, too: a silent pass would be worse. Throws what ends the replay; the
 * questions that are then left have no answer.
 */
export async function askQuestions(
  spec: JobSpec,
  result: JobResult,
  open: () => Promise<QuestionAnswerer>,
): Promise<void> {
  const answers = new Map<Question, QuestionResult>(
    spec.questions.map((question) => [question, unanswered(spec, question)]),
  );
  result.questions.push(...answers.values());
  const answerer = await open();
  try {
    for (const question of inOrder(spec.questions)) {
      const answer = answers.get(question)!;
      await askOne(question, answer, answerer);
      if (answer.state === 'failed')
        await keepStack(result, `Question ${question.name}`, question.at, answerer);
    }
  } finally {
    answerer.close();
    for (const answer of answers.values()) {
      const wrong = problemWith(answer);
      if (wrong) result.problems.push(wrong);
    }
  }
}

const unanswered = (spec: JobSpec, question: Question): QuestionResult => ({
  name: question.name,
  asked: askText(question.ask),
  place: placeText(question.at),
  state: 'unanswered',
  expected: describeTest(question.test),
  found: null,
  problem: 'It was not evaluated: the replay ended before.',
  again: askCommand(spec, question),
});

/** Fills in the result. */
async function askOne(
  { at, ask, test }: Question,
  result: QuestionResult,
  answerer: QuestionAnswerer,
): Promise<void> {
  try {
    const { text } = await answerer.answer(at, ask);
    const wrong = ask.kind === 'call' ? testStream(test, streamOf(text)) : testValue(test, text);
    result.state = wrong ? 'failed' : 'passed';
    result.found = wrong?.found ?? text;
    result.problem = null;
    if (wrong) Object.assign(result, { expected: wrong.expected, problem: wrong.message });
  } catch (error) {
    if (!(error instanceof RevenantError) || !ANSWERABLE.has(error.code)) throw error;
    result.state = 'error';
    result.problem = error.hint ? `${error.message} ${error.hint}` : error.message;
  }
}

/** Adds the stack to the report. Without it nothing fails. */
export async function keepStack(
  result: JobResult,
  what: string,
  at: QuestionPlace | { kind: 'crash' },
  answerer: QuestionAnswerer,
): Promise<void> {
  try {
    const frames = await answerer.stack(at);
    if (frames && frames.length > 0) result.stacks.push({ what, place: placeWords(at), frames });
  } catch (error) {
    if (!(error instanceof RevenantError) || !ANSWERABLE.has(error.code)) throw error;
  }
}

/** Unanswered questions are not separate problems: the end of the replay is. */
function problemWith({
  name,
  state,
  place,
  expected,
  found,
  problem: why,
  again,
}: QuestionResult): Problem | null {
  if (state === 'passed' || state === 'unanswered') return null;
  const text = `Question ${name} (${place}): ${why}${found === null ? '' : '.'}`;
  return problem('question', text, { expected, found, hint: again && `To evaluate it again: ${again}` });
}
