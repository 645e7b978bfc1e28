/** From a manifest, or a folder of traces, to jobs. Reads the file system, changes nothing. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import { RevenantError } from '../../engine/base/errors.js';
import { SIGNAL_NAMES } from '../../engine/base/linux.js';
import { findTraces, readExpectation, traceName } from '../find-traces.js';
import type { Ask, Expectation, JobSpec, Place, Question, TextTest } from '../spec.js';
import { NO_EXPECTATION } from '../spec.js';
import type { ReadManifest } from './read.js';
import type { Entry, ExpectSource, PlaceSource, QuestionSource, Settings, TextTestSource } from './types.js';
import { bytes, seconds } from './units.js';

const DEFAULT_TIMEOUT = 600;
const DEFAULT_STALL = 60;
/** Larger expected texts are compared by their SHA-256. */
const MOST_INLINE_BYTES = 256 * 1024;

/** Every trace below the folder, with what lies beside each. Throws E_TRACE_MISSING where there is none. */
export function jobsOfFolder(folder: string, settings: Settings = {}): JobSpec[] {
  const traces = findTraces(folder);
  if (traces.length === 0) throw new RevenantError('E_TRACE_MISSING', `No trace below ${folder}.`);
  return traces.map((trace) =>
    newJob(traceName(folder, trace), trace, settings, path.resolve('.'), {
      expect: expectationOf({}, trace, { folder: '.', readText: readExpected }),
      questions: [],
      source: null,
    }),
  );
}

/** Where texts that a manifest names are read from. */
export type ReadText = (file: string) => Uint8Array;

interface Surroundings {
  /** What names are relative to. */
  folder: string;
  readText: ReadText;
}

/** The jobs of a manifest, names made unique. Throws E_MANIFEST, E_TRACE_MISSING, E_TRACE_CORRUPT. */
export function jobsOfManifest(read: ReadManifest, readText: ReadText = readExpected): JobSpec[] {
  const { file, manifest } = read;
  const folder = path.dirname(file);
  const surroundings = { folder, readText };
  const jobs: JobSpec[] = [];
  manifest.traces.forEach((entry, index) => {
    const source = { file, line: read.lineOfEntry(index) };
    const traces = tracesOf(entry, folder);
    if (traces.length === 0) {
      const what = list(entry.paths).join(', ');
      throw new RevenantError('E_MANIFEST', `${file}:${source.line}: no trace matches ${what}.`);
    }
    for (const trace of traces) {
      const settings = { ...manifest.defaults, ...entry };
      jobs.push(
        newJob(nameOf(entry, trace, folder, traces.length), trace, settings, folder, {
          expect: expectationOf(entry.expect ?? {}, trace, surroundings),
          questions: (entry.questions ?? []).map((question) => questionOf(question, surroundings)),
          source,
        }),
      );
    }
  });
  return uniqueNames(jobs);
}

const list = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;

/** Trace folders that the globs name, or that lie below folders that they name; sorted, each once. */
function tracesOf(entry: Entry, folder: string): string[] {
  const found = globSync(list(entry.paths), {
    cwd: folder,
    ignore: list(entry.exclude),
    onlyDirectories: true,
    absolute: true,
    expandDirectories: false,
    dot: true,
  });
  const excluded = new Set(
    entry.exclude === undefined
      ? []
      : globSync(list(entry.exclude), {
          cwd: folder,
          onlyDirectories: true,
          absolute: true,
          expandDirectories: false,
          dot: true,
        }).map((name) => path.resolve(name)),
  );
  const traces = found.flatMap((name) => findTraces(path.resolve(name)));
  return [...new Set(traces)].filter((trace) => !excluded.has(trace)).sort();
}

function nameOf(entry: Entry, trace: string, folder: string, count: number): string {
  const relative = path.relative(folder, trace) || path.basename(trace);
  if (entry.name === undefined) return relative;
  return count === 1 ? entry.name : `${entry.name}: ${relative}`;
}

function uniqueNames(jobs: JobSpec[]): JobSpec[] {
  const seen = new Map<string, number>();
  for (const job of jobs) {
    const count = (seen.get(job.name) ?? 0) + 1;
    seen.set(job.name, count);
    if (count > 1) job.name = `${job.name} #${count}`;
  }
  return jobs;
}

function newJob(
  name: string,
  trace: string,
  settings: Settings,
  folder: string,
  rest: Pick<JobSpec, 'expect' | 'questions' | 'source'>,
): JobSpec {
  return {
    name,
    trace: path.resolve(trace),
    like: settings.like === undefined ? null : path.resolve(folder, settings.like),
    unpacked: settings.unpacked ?? false,
    verifyTicks: settings.verifyTicks ?? false,
    machine: settings.machine ?? 'auto',
    cpu: settings.cpu ?? null,
    limits: {
      timeoutSeconds: settings.timeout === undefined ? DEFAULT_TIMEOUT : seconds(settings.timeout),
      memoryBytes: settings.memory === undefined ? null : bytes(settings.memory),
      stallSeconds: settings.stallLimit === undefined ? DEFAULT_STALL : seconds(settings.stallLimit),
    },
    retries: settings.retries ?? 0,
    ...rest,
  };
}

/** What the manifest says; where it is silent, the files beside the trace. */
function expectationOf(source: ExpectSource, trace: string, surroundings: Surroundings): Expectation {
  const beside = readExpectation(trace);
  const until = typeof source.replay === 'object' ? source.replay.until : null;
  const status = source.signal === undefined ? source.status : 128 + signalNumber(source.signal);
  const besideStdout = until === null && beside.stdout ? wholeText(beside.stdout) : null;
  return {
    ...NO_EXPECTATION,
    until,
    stdout: source.stdout === undefined ? besideStdout : textTest(source.stdout, surroundings),
    stderr: source.stderr === undefined ? null : textTest(source.stderr, surroundings),
    status: status ?? (until === null ? beside.status : null),
    reaches: (source.reaches ?? []).map((reach) =>
      typeof reach === 'number'
        ? { frame: reach, event: null }
        : { frame: reach.frame, event: reach.event ?? null },
    ),
  };
}

function signalNumber(name: string): number {
  const number = SIGNAL_NAMES.indexOf(name);
  if (number > 0) return number;
  throw new RevenantError('E_MANIFEST', `There is no signal ${name}.`, 'Such as SIGSEGV or SIGABRT.');
}

function wholeText(content: Uint8Array): TextTest {
  if (content.length <= MOST_INLINE_BYTES) return { bytes: Buffer.from(content).toString('base64') };
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { digest: { bytes: content.length, sha256 } };
}

function textTest(source: TextTestSource, { folder, readText }: Surroundings): TextTest {
  if (typeof source === 'string') return { equals: source };
  const { equals, file, contains, matches } = source;
  return {
    ...(equals === undefined ? {} : { equals: String(equals) }),
    ...(file === undefined ? {} : wholeText(readText(path.resolve(folder, file)))),
    ...(contains === undefined ? {} : { contains }),
    ...(matches === undefined ? {} : { matches }),
  };
}

function readExpected(file: string): Buffer {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    throw new RevenantError('E_MANIFEST', `Cannot read an expected text: ${(error as Error).message}.`);
  }
}

function placeOf(source: PlaceSource): Place {
  if (source === 'exit') return { kind: 'exit' };
  if ('frame' in source) return { kind: 'frame', frame: source.frame };
  return { kind: 'symbol', symbol: source.symbol, hit: source.hit ?? 1 };
}

function askOf({ expression, call, memory, type }: QuestionSource): Ask {
  if (expression !== undefined) return { kind: 'expression', expression };
  if (call !== undefined) return { kind: 'call', call };
  return { kind: 'memory', address: memory!, type: type ?? 'i32' };
}

function questionOf(source: QuestionSource, surroundings: Surroundings): Question {
  const ask = askOf(source);
  const test =
    ask.kind === 'call'
      ? textTest(source.output!, surroundings)
      : textTest({ equals: source.equals, contains: source.contains, matches: source.matches }, surroundings);
  return { name: source.name ?? askText(ask), at: placeOf(source.at), ask, test };
}

/** What is asked, as the manifest says it. */
export function askText(ask: Ask): string {
  switch (ask.kind) {
    case 'expression':
      return ask.expression;
    case 'call':
      return ask.call;
    case 'memory':
      return `${ask.type} at ${ask.address}`;
  }
}

/** Where it is asked, in words. */
export function placeText(place: Place): string {
  switch (place.kind) {
    case 'exit':
      return 'at exit';
    case 'frame':
      return `after frame ${place.frame}`;
    case 'symbol':
      return `at ${place.symbol}, hit ${place.hit}`;
  }
}
