/** Turns a manifest, or a folder of traces, into jobs. Only reads the file system. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import { RevenantError } from '../../engine/base/errors.js';
import { SIGNAL_NAMES } from '../../engine/base/linux.js';
import { reasonOf } from '../../engine/base/system-errors.js';
import {
  findTraces,
  readExpectation,
  traceName,
  uniqueFolders,
  type Expectation as TraceExpectation,
} from './find-traces.js';
import type { Ask, Expectation, JobSpec, QuestionPlace, Question, TextTest } from '../model/spec.js';
import { askText, NO_EXPECTATION } from '../model/spec.js';
import { meant, type ReadManifest } from './read.js';
import type { Entry, ExpectSource, PlaceSource, QuestionSource, Settings, TextTestSource } from './types.js';
import { bytes, seconds } from './units.js';

const DEFAULT_TIMEOUT = 600;
const DEFAULT_STALL = 60;
/** Larger expected texts are compared by their SHA-256. */
const MOST_INLINE_BYTES = 256 * 1024;

/**
 * A job for every trace below the folder, with the expectations beside it. Throws E_TRACE_MISSING if there is none.
 * @param complain called for folders below that cannot be read
 */
export function jobsOfFolder(
  folder: string,
  settings: Settings = {},
  complain: (text: string) => void = () => {},
): JobSpec[] {
  const traces = findTraces(folder, complain);
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

interface ManifestEnvironment {
  /** What names are relative to. */
  folder: string;
  readText: ReadText;
}

export interface ResolveOptions {
  /** Default: the file system. */
  readText?: ReadText;
  /** Called for folders that cannot be read. */
  complain?: (text: string) => void;
}

/** The jobs of a manifest, names made unique. Throws E_MANIFEST, E_TRACE_MISSING, E_TRACE_CORRUPT. */
export function jobsOfManifest(
  read: ReadManifest,
  { readText = readExpected, complain = () => {} }: ResolveOptions = {},
): JobSpec[] {
  const { file, manifest } = read;
  const folder = path.dirname(file);
  const environment = { folder, readText };
  const jobs: JobSpec[] = [];
  manifest.traces.forEach((entry, index) => {
    const source = { file, line: read.lineOfEntry(index) };
    const keys = ['traces', String(index)];
    const traces = tracesOf(entry, folder, complain);
    if (traces.length === 0) {
      const what = list(entry.paths).join(', ');
      throw new RevenantError('E_MANIFEST', `${read.placeOf([...keys, 'paths'])}: no trace matches ${what}.`);
    }
    const settings = { ...manifest.defaults, ...entry };
    const questions = (entry.questions ?? []).map((question, at) =>
      located(read, [...keys, 'questions', String(at)], () => questionOf(question, environment)),
    );
    for (const trace of traces) {
      const expect = located(read, [...keys, 'expect'], () =>
        expectationOf(entry.expect ?? {}, trace, environment),
      );
      const name = nameOf(entry, trace, folder, traces.length);
      jobs.push(newJob(name, trace, settings, folder, { expect, questions, source }));
    }
  });
  return uniqueNames(jobs);
}

/** Errors of an entry get the entry's position. */
function located<T>(read: ReadManifest, keys: readonly string[], resolve: () => T): T {
  try {
    return resolve();
  } catch (error) {
    if (!(error instanceof RevenantError) || error.code !== 'E_MANIFEST') throw error;
    throw new RevenantError('E_MANIFEST', `${read.placeOf(keys)}: ${error.message}`, error.hint, {
      cause: error,
    });
  }
}

const list = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;

/** Trace folders that match the globs, or that are below matching folders; sorted, each once. */
function tracesOf(entry: Entry, folder: string, complain: (text: string) => void): string[] {
  const glob = (patterns: string[], ignore: string[] = []): string[] => {
    const options = { cwd: folder, ignore, absolute: true, expandDirectories: false, dot: true };
    // The library lists no link to a folder, only what is in it.
    const inside = patterns.map((pattern) => `${pattern.replace(/\/+$/, '')}/*`);
    const found = [
      ...globSync(patterns, { ...options, onlyDirectories: true }).map((name) => path.resolve(name)),
      ...globSync(inside, { ...options, onlyFiles: false }).map((name) => path.dirname(path.resolve(name))),
    ];
    return [...new Set(found)];
  };
  const exclude = list(entry.exclude);
  const excluded = new Set(exclude.length === 0 ? [] : glob(exclude));
  const traces = glob(list(entry.paths), exclude)
    .flatMap((name) => searched(name, complain))
    .filter((trace) => !excluded.has(trace))
    .sort();
  // A trace with several names has the one without links.
  const real = fs.realpathSync(folder);
  const isReal = (trace: string): boolean =>
    path.join(real, path.relative(folder, trace)) === fs.realpathSync(trace);
  const first = traces.filter(isReal);
  return uniqueFolders([...first, ...traces.filter((trace) => !first.includes(trace))]).sort();
}

/** A glob also matches folders that cannot be read. */
function searched(folder: string, complain: (text: string) => void): string[] {
  try {
    return findTraces(folder, complain);
  } catch (error) {
    if (!(error instanceof RevenantError)) throw error;
    complain(`${error.message} It is passed over.`);
    return [];
  }
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
    files: [settings.files ?? []].flat().map((name) => path.resolve(folder, name)),
    clock: settings.clock ?? 'recorded',
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

/** The manifest's expectations; by default those in the files beside the trace. */
function expectationOf(source: ExpectSource, trace: string, environment: ManifestEnvironment): Expectation {
  const { unreadable, ...beside } = besideTrace(trace);
  const until = typeof source.replay === 'object' ? source.replay.until : null;
  const status = source.signal === undefined ? source.status : 128 + signalNumber(source.signal);
  const besideStdout = until === null && beside.stdout ? wholeText(beside.stdout) : null;
  return {
    ...NO_EXPECTATION,
    until,
    stdout: source.stdout === undefined ? besideStdout : textTest(source.stdout, environment),
    stderr: source.stderr === undefined ? null : textTest(source.stderr, environment),
    status: status ?? (until === null ? beside.status : null),
    reaches: (source.reaches ?? []).map((reach) =>
      typeof reach === 'number'
        ? { frame: reach, event: null }
        : { frame: reach.frame, event: reach.event ?? null },
    ),
    ...(unreadable === undefined ? {} : { unreadable }),
  };
}

/** For one trace: an unreadable file fails only that trace. */
function besideTrace(trace: string): TraceExpectation & { unreadable?: string } {
  try {
    return readExpectation(trace);
  } catch (error) {
    if (!(error instanceof RevenantError) || error.code !== 'E_TRACE_CORRUPT') throw error;
    return { stdout: null, status: null, unreadable: error.message };
  }
}

function signalNumber(name: string): number {
  const number = SIGNAL_NAMES.indexOf(name);
  if (number > 0) return number;
  const near = meant(name, SIGNAL_NAMES) || '; such are SIGSEGV and SIGABRT';
  throw new RevenantError('E_MANIFEST', `unknown signal ${name}${near}`);
}

function wholeText(content: Uint8Array): TextTest {
  if (content.length <= MOST_INLINE_BYTES) return { bytes: Buffer.from(content).toString('base64') };
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { digest: { bytes: content.length, sha256 } };
}

function textTest(source: TextTestSource, { folder, readText }: ManifestEnvironment): TextTest {
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
    throw new RevenantError('E_MANIFEST', `cannot read the expected text ${file}: ${reasonOf(error)}`);
  }
}

function placeOf(source: PlaceSource): QuestionPlace {
  if (source === 'exit') return { kind: 'exit' };
  if ('frame' in source) return { kind: 'frame', frame: source.frame };
  return { kind: 'symbol', symbol: source.symbol, hit: source.hit ?? 1 };
}

function askOf({ expression, call, memory, type }: QuestionSource): Ask {
  if (expression !== undefined) return { kind: 'expression', expression };
  if (call !== undefined) return { kind: 'call', call };
  return { kind: 'memory', address: memory!, type: type ?? 'i32' };
}

function questionOf(source: QuestionSource, environment: ManifestEnvironment): Question {
  const ask = askOf(source);
  const test =
    ask.kind === 'call'
      ? textTest(source.output!, environment)
      : textTest({ equals: source.equals, contains: source.contains, matches: source.matches }, environment);
  return { name: source.name ?? askText(ask), at: placeOf(source.at), ask, test };
}
