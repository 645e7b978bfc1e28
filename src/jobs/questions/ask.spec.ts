import { expect, it } from 'vitest';
import { RevenantError } from '../../engine/base/errors.js';
import type { JobResult } from '../model/result.js';
import { newResult } from '../model/result.js';
import { NO_EXPECTATION, type Ask, type JobSpec, type QuestionPlace, type TextTest } from '../model/spec.js';
import type { StackFrame } from '../model/stack.js';
import type { QuestionAnswerer } from './answerer.js';
import { askQuestions } from './ask.js';

type Asked = [at: QuestionPlace, expression: string, test: TextTest];

const exit: QuestionPlace = { kind: 'exit' };
const frame = (number: number): QuestionPlace => ({ kind: 'frame', frame: number });
const insert = (hit: number): QuestionPlace => ({ kind: 'symbol', symbol: 'insert', hit });

const jobAsking = (asked: Asked[]): JobSpec => ({
  name: 'tree',
  trace: '/traces/tree',
  like: null,
  unpacked: false,
  files: [],
  clock: 'recorded',
  verifyTicks: false,
  machine: 'auto',
  cpu: null,
  expect: NO_EXPECTATION,
  questions: asked.map(([at, expression, test]) => ({
    name: expression,
    at,
    ask: { kind: 'expression', expression },
    test,
  })),
  limits: { timeoutSeconds: 60, memoryBytes: null, stallSeconds: 60 },
  retries: 0,
  source: null,
});

/** Answers with the expression, or as configured. */
class Parrot implements QuestionAnswerer {
  readonly asked: string[] = [];
  closed = false;

  constructor(private readonly failures: Record<string, RevenantError> = {}) {}

  answer(_place: QuestionPlace, ask: Ask): Promise<{ text: string }> {
    const text = ask.kind === 'expression' ? ask.expression : '';
    this.asked.push(text);
    return this.failures[text] ? Promise.reject(this.failures[text]) : Promise.resolve({ text });
  }

  stack(): Promise<StackFrame[]> {
    return Promise.resolve([
      { function: 'main', address: '0x1', file: null, line: null, source: [], variables: [] },
    ]);
  }

  close(): void {
    this.closed = true;
  }
}

async function ask(asked: Asked[], parrot: Parrot): Promise<JobResult> {
  const spec = jobAsking(asked);
  const result = newResult(spec);
  await askQuestions(spec, result, () => Promise.resolve(parrot)).catch((error: unknown) => {
    result.log = (error as Error).message;
  });
  expect(parrot.closed).toBe(true);
  return result;
}

it('asks in the order of the recording and answers in that of the manifest', async () => {
  const parrot = new Parrot();
  const equals = (text: string): TextTest => ({ equals: text });
  const { questions, problems, stacks } = await ask(
    [
      [exit, '1', equals('0x1')],
      [insert(10), '2', equals('2')],
      [frame(200), '3', equals('4')],
      [insert(9), '5', equals('5')],
      [frame(30), '6', { matches: '^[67]$' }],
    ],
    parrot,
  );
  expect(parrot.asked).toEqual(['6', '3', '5', '2', '1']);
  expect(questions.map(({ asked, state }) => `${asked} ${state}`)).toEqual([
    '1 passed',
    '2 passed',
    '3 failed',
    '5 passed',
    '6 passed',
  ]);
  expect(problems).toHaveLength(1);
  expect(stacks).toMatchObject([{ what: 'Question 3', place: '200', frames: [{ function: 'main' }] }]);
  expect(problems[0]).toMatchObject({ kind: 'question', expected: '4', found: '3' });
  expect(problems[0].message).toBe('Question 3 (after frame 200): is another value than expected.');
  expect(problems[0].hint).toMatch(/revenant call \/traces\/tree --at 200 3 --machine auto/);
});

it('a question without an answer fails alone; an error that ends the replay ends all', async () => {
  const asked: Asked[] = [
    [frame(1), 'bad', { equals: '0' }],
    [frame(2), 'good', { equals: 'good' }],
    [frame(3), 'gone', { equals: '0' }],
    [frame(4), 'late', { equals: '0' }],
  ];
  const parrot = new Parrot({
    bad: new RevenantError('E_DIVERSION', 'The call ended with SIGSEGV.'),
    gone: new RevenantError('E_MACHINE_LOST', 'The machine was lost.'),
  });
  const { questions, problems, log } = await ask(asked, parrot);
  expect(questions.map(({ state }) => state)).toEqual(['error', 'passed', 'unanswered', 'unanswered']);
  expect(problems.map(({ message }) => message)).toEqual([
    'Question bad (after frame 1): The call ended with SIGSEGV.',
  ]);
  expect(log).toBe('The machine was lost.');
});
