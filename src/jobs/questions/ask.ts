/** Asks a job's questions, in the order of the trace, and compares the answers. */
import { RevenantError } from '../../engine/base/errors.js';
import { describeTest, streamOf, testStream, testValue } from '../checks/text.js';
import { askText, placeText } from '../manifest/resolve.js';
import type { JobResult, QuestionResult } from '../result.js';
import { problem } from '../result.js';
import type { JobSpec, Place, Question } from '../spec.js';
import type { QuestionAnswerer } from './answerer.js';

/** Frames first (by number), then symbols (by hit), then the end: the order in which one replay meets most of them. */
export function inOrder(questions: readonly Question[]): Question[] {
  const rank = (place: Place): number => ({ frame: 0, symbol: 1, exit: 2 })[place.kind];
  const within = (place: Place): number =>
    place.kind === 'frame' ? place.frame : place.kind === 'symbol' ? place.hit : 0;
  return [...questions].sort((a, b) => rank(a.at) - rank(b.at) || within(a.at) - within(b.at));
}

/**
 * Adds a QuestionResult for each question, in the manifest's order, and a problem for each that fails. A question
 * that cannot be answered fails its job, too: a silent pass would be worse.
 */
export async function askQuestions(
  spec: JobSpec,
  result: JobResult,
  open: () => Promise<QuestionAnswerer | null>,
): Promise<void> {
  const answers = new Map<Question, QuestionResult>();
  let answerer: QuestionAnswerer | null = null;
  let unable: string | null = null;
  try {
    answerer = await open();
    if (!answerer) unable = 'Questions cannot be answered by this build.';
  } catch (error) {
    unable = sentence(error);
  }
  try {
    for (const question of inOrder(spec.questions)) {
      answers.set(question, await askOne(question, answerer, unable));
    }
  } finally {
    answerer?.close();
  }
  for (const question of spec.questions) {
    const answer = answers.get(question)!;
    result.questions.push(answer);
    if (answer.state === 'passed') continue;
    const what = `${question.name} (${answer.place})`;
    const text =
      answer.found === null
        ? `Question ${what}: ${answer.problem ?? 'no answer'}`
        : `Question ${what}: ${answer.problem ?? 'is wrong'}.`;
    result.problems.push(
      problem('question', text, { expected: answer.expected, found: answer.found ?? answer.problem }),
    );
  }
}

async function askOne(
  question: Question,
  answerer: QuestionAnswerer | null,
  unable: string | null,
): Promise<QuestionResult> {
  const { name, ask, at, test } = question;
  const result: QuestionResult = {
    name,
    asked: askText(ask),
    place: placeText(at),
    state: 'unanswered',
    expected: describeTest(test),
    found: null,
    problem: unable,
  };
  if (!answerer) return result;
  try {
    const { text } = await answerer.answer(at, ask);
    const wrong = ask.kind === 'call' ? testStream(test, streamOf(text)) : testValue(test, text);
    result.state = wrong ? 'failed' : 'passed';
    result.found = wrong?.found ?? text;
    if (wrong) Object.assign(result, { expected: wrong.expected, problem: wrong.message });
  } catch (error) {
    result.state = 'error';
    result.problem = sentence(error);
  }
  return result;
}

function sentence(error: unknown): string {
  if (error instanceof RevenantError) return error.hint ? `${error.message} ${error.hint}` : error.message;
  return error instanceof Error ? `Internal error: ${error.stack ?? error.message}` : String(error);
}
