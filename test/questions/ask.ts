/** Questions to gdb, of a program that runs here and of its recording. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { prepareLiveGdb } from '../debugger/live/gdb.js';
import { machineFor } from '../machines.js';
import type { Program } from './lists.js';

const root = path.resolve(import.meta.dirname, '../..');
const driver = path.join(import.meta.dirname, 'driver.py');
const sources = path.join(import.meta.dirname, 'programs');
/** Where the programs were when they were recorded. */
const RECORDED_FOLDER = '/tmp/questions';
/** As when they were recorded. */
const ENVIRONMENT = ['PATH=/usr/bin:/bin', 'HOME=/root', 'LANG=C.UTF-8'];

export interface Pass {
  /** Answers with seconds, in the order of the lists. */
  readonly moves: readonly (readonly [string, number])[];
  readonly questions: readonly (readonly [string, number])[];
  /** Spent on the way. */
  readonly seconds: number;
}

export interface Answers {
  readonly forwards: Pass;
  /** null of a live program. */
  readonly backwards: Pass | null;
  /** Everything that gdb said. */
  readonly text: string;
}

/** The program of a packed trace. */
export function programFile(trace: string, { name }: Program): string {
  const wanted = name === 'report' ? 'python3.11' : name;
  const file = fs
    .readdirSync(trace)
    .find((each) => /^mmap_\w+?_\d+_/.test(each) && each.endsWith(`_${wanted}`));
  if (file === undefined) throw new Error(`${trace} has no copy of ${wanted}`);
  return path.join(trace, file);
}

async function ask(
  command: string,
  args: string[],
  program: Program,
  live: readonly string[] | null,
  folders: string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Answers> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'questions-'));
  try {
    const file = path.join(folder, 'questions.json');
    const output = path.join(folder, 'output');
    fs.writeFileSync(output, '');
    const begin = [
      'set width 0',
      'set height 0',
      'set confirm off',
      'set debuginfod enabled off',
      `directory ${sources}`,
      'set print thread-events off',
      'set print inferior-events off',
      'set breakpoint pending on',
    ];
    const { stop, flush, moves, questions } = program;
    fs.writeFileSync(
      file,
      JSON.stringify({
        begin,
        live,
        output,
        stop,
        flush,
        arguments: program.arguments.join(' '),
        moves,
        questions,
        folders: [RECORDED_FOLDER, sources, ...folders],
      }),
    );
    const text = await run(command, [...args, '-nx', '-batch', '-x', driver], {
      ...process.env,
      ...env,
      QUESTIONS: file,
    });
    const said = text
      .split('\n')
      .filter((line) => line.startsWith('@@'))
      .map((line) => JSON.parse(line.slice(2)) as Record<string, unknown>);
    const failure = said.find((each) => 'failure' in each)?.failure;
    const pass = (name: string): Pass | null =>
      (said.find((each) => each.pass_ === name) as Pass | undefined) ?? null;
    const forwards = pass('forwards');
    if (failure !== undefined || !forwards) throw new Error(`${program.name}: ${String(failure)}\n${text}`);
    return { forwards, backwards: pass('backwards'), text };
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function run(command: string, args: string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-c', 'exec "$@" 2>&1', 'sh', command, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: sources,
      env,
    });
    const parts: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => parts.push(bytes));
    child.once('error', reject);
    child.once('close', () => resolve(Buffer.concat(parts).toString('utf8')));
  });
}

/** The recording, forwards and after coming backwards. */
export const askRecording = (trace: string, program: Program): Promise<Answers> =>
  ask(
    path.join(root, 'bin/revenant'),
    ['gdb', trace, '--machine', machineFor(trace), '--quiet', '--'],
    program,
    null,
    [],
  );

/** The program as it runs on this machine. */
export async function askLive(trace: string, program: Program): Promise<Answers> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'questions-live-'));
  const liveGdb = prepareLiveGdb();
  try {
    const file = path.join(folder, program.name === 'report' ? 'python3.11' : program.name);
    fs.copyFileSync(programFile(trace, program), file);
    fs.chmodSync(file, 0o755);
    const live = [`file ${file}`, ...liveGdb.commands, `set exec-wrapper env -i ${ENVIRONMENT.join(' ')}`];
    const gdb = program.language === 'Rust' && hasRustGdb() ? 'rust-gdb' : 'gdb';
    return await ask(gdb, [], program, live, [folder], liveGdb.env);
  } finally {
    liveGdb.close();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const hasRustGdb = (): boolean => spawnSync('rust-gdb', ['--version']).status === 0;

/** A question, its answer, and the time that it took. */
export interface Comparison {
  readonly question: string;
  readonly live: string;
  readonly forwards: string;
  readonly backwards: string;
  /** Seconds: live, forwards, backwards. */
  readonly seconds: readonly [number, number, number];
}

/** Asks the program and its recording; a comparison for each question of the lists. */
export async function compare(trace: string, program: Program): Promise<Comparison[]> {
  const live = await askLive(trace, program);
  const { forwards, backwards, text } = await askRecording(trace, program);
  if (!backwards) throw new Error(`${program.name} did not come backwards:\n${text}`);
  return (['moves', 'questions'] as const).flatMap((list) =>
    program[list].map((question, index) => {
      const answers = [live.forwards, forwards, backwards].map((pass) => pass[list][index]);
      const [[first, a], [second, b], [third, c]] = answers;
      return { question, live: first, forwards: second, backwards: third, seconds: [a, b, c] as const };
    }),
  );
}

/** Why the program of a trace cannot run on this machine as it was recorded, or null. */
export function whyNotLive(trace: string): string | null {
  for (const file of fs.readdirSync(trace)) {
    const name = /^mmap_[a-z]+_\d+_((?:libc|libm|libstdc\+\+|ld-linux-x86-64)\.so[.\d]*)$/.exec(file)?.[1];
    const here =
      name && [`/lib/x86_64-linux-gnu/${name}`, `/usr/lib/x86_64-linux-gnu/${name}`].find(fs.existsSync);
    if (name === undefined) continue;
    if (!here || !fs.readFileSync(here).equals(fs.readFileSync(path.join(trace, file))))
      return `this machine has another ${name} than the recording`;
  }
  return null;
}
