/** What happens at random moments: signals, the end of machines, of a Redis. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { patientClock } from '../../scripts/patience.mjs';
import { machineStatus } from '../../src/machine/keeper-client.js';
import type { RunReport } from '../../src/jobs/report/run-report.js';
import { root, type Tried } from './commands.js';
import type { Fault } from './faults.js';
import { begin, type Cell, cell, run } from './run.js';

type Note = (cell: Cell) => void;

const nothing: Fault = { name: 'nothing', shell: '"$@"' };
const LONGEST_MS = 3000;
const LOOK_MS = 100;
const MOST_SECONDS_TO_FIRST = 120;
const zen2 = path.join(root, 'traces/zen2');

/** SIGTERM and SIGKILL at random moments. All results that `ci` has printed are in its report. */
export async function interrupted(tried: readonly Tried[], moments: number, note: Note): Promise<void> {
  for (let at = 0; at < moments; at++) {
    const { name, args } = tried[at % tried.length];
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const isCi = name === 'ci';
      const junit = path.join(process.env.TMPDIR!, `${signal}-${at}.xml`);
      const words = isCi ? ['ci', zen2, '--fresh', '--jobs', '1', '--junit', junit] : args;
      const { child, ended } = begin(words, nothing);
      await pause(Math.random() * LONGEST_MS * (isCi ? 4 : 1));
      child.kill(signal);
      const result = await ended;
      const judged = await cell(name, signal, result, [signal]);
      const lost = isCi && fs.existsSync(junit) ? missing(result.stderr, fs.readFileSync(junit, 'utf8')) : [];
      note({ ...judged, problems: [...judged.problems, ...lost] });
    }
  }
}

function missing(said: string, report: string): string[] {
  const done = [...said.matchAll(/^\[\d+\/\d+\] pass +(\S+)/gm)].map(([, name]) => name);
  return done
    .filter((name) => !new RegExp(`<testcase name="${name}"[^>]*/>`).test(report))
    .map((name) => `the result of ${name} is lost`);
}

/** The process that is the machine in use: the emulator of a leased one, or the process machine; null: there is none. */
function machineProcess(): number | null {
  const leased = machineStatus().find(({ state }) => state === 'leased');
  if (leased) return leased.qemuPid;
  const isSandbox = (pid: string): boolean => {
    try {
      return fs.readFileSync(`/proc/${pid}/comm`, 'latin1').startsWith('revenant-sandbo');
    } catch {
      return false;
    }
  };
  const pid = fs.readdirSync('/proc').find((name) => /^\d+$/.test(name) && isSandbox(name));
  return pid === undefined ? null : Number(pid);
}

/** The machine that a command uses is killed; the command continues. */
export async function killedMachines(tried: readonly Tried[], kills: number, note: Note): Promise<void> {
  const using = tried.filter(({ name }) => ['replay', '--all', 'ci', 'call', 'gdb'].includes(name));
  for (let at = 0; at < kills; at++) {
    const tryIt = using[at % using.length];
    const watch = { killed: false };
    const timer = setInterval(() => {
      const victim = machineProcess();
      if (watch.killed || victim === null || Math.random() < 0.5) return;
      watch.killed = true;
      process.kill(victim, 'SIGKILL');
    }, 20);
    const result = await run(tryIt, nothing);
    clearInterval(timer);
    const { code } = result.ended;
    const problems = code === 0 ? [] : [`exit code ${code}, not 0`];
    note({
      ...result,
      fault: watch.killed ? 'machine killed' : 'machine not met',
      problems: [...result.problems, ...problems],
    });
  }
}

/** A Redis that is killed and restarts empty, while `ci` waits for a worker: every result arrives, once. */
export async function restartedRedis(
  url: string,
  folder: string,
  port: number,
  redis: ChildProcess,
  note: Note,
): Promise<void> {
  const worker = begin(['worker', '--queue', url, '--jobs', '1', '--lock-seconds', '5'], nothing);
  const ci = begin(['ci', zen2, '--fresh', '--queue', url, '--json'], nothing);
  const waited = patientClock();
  // In the middle: of some jobs the results are known.
  while (!/^\[1\//m.test(ci.said()) && waited() < MOST_SECONDS_TO_FIRST) await pause(LOOK_MS);
  redis.kill('SIGKILL');
  await once(redis, 'exit');
  await pause(2000);
  const again = spawn('redis-server', ['--port', String(port), '--dir', folder, '--save', ''], {
    stdio: 'ignore',
  });
  const result = await ci.ended;
  worker.child.kill('SIGTERM');
  const workerEnded = await worker.ended;
  again.kill('SIGKILL');
  const judged = await cell('ci', 'redis restarted', result);
  note({ ...judged, problems: [...judged.problems, ...resultProblems(result.stdout)] });
  note(await cell('worker', 'redis restarted', workerEnded));
}

function resultProblems(stdout: string): string[] {
  try {
    const { counts } = JSON.parse(stdout) as RunReport;
    return counts.passed === counts.total
      ? []
      : [`${counts.total - counts.passed} results are not as recorded`];
  } catch (error) {
    return [`no document: ${(error as Error).message}`];
  }
}
