import { durationText, elapsedText } from '../../engine/base/quantities.js';
import type { JobResult } from '../../jobs/model/result.js';
import { headline } from '../../jobs/report/problem-text.js';
import type { Progress } from '../../jobs/run/execute.js';
import type { RunListener } from '../../jobs/run/pool.js';
import type { JobSpec } from '../../jobs/model/spec.js';
import type { CommandIo } from '../output.js';
import { printable } from '../printable.js';
import { fitText } from '../progress.js';

const REDRAW_MS = 100;
const TICK_MS = 1000;
/** Without other output for this long, running jobs are listed in a log. */
const PLAIN_SILENCE_MS = 30_000;

interface Running {
  at: Progress | null;
  begun: number;
  note: string | null;
}

export interface CiProgressOptions {
  io: CommandIo;
  quiet: boolean;
  /** Of every job, in any unit. */
  weights: ReadonlyMap<string, number>;
}

/**
 * Progress of a run on standard error. On a terminal one line per running trace and one for the
 * total with the time left, redrawn in place; otherwise a line for each finished trace.
 */
export class CiProgress implements RunListener {
  private readonly running = new Map<string, Running>();
  private readonly terminal: boolean;
  private readonly total: number;
  private readonly begun: number;
  private done = 0;
  private doneWeight = 0;
  private readonly allWeight: number;
  private drawn = 0;
  private last: number;
  /** Elapsed times are updated even without reports from a job: a machine starts, a checkpoint is written. */
  private ticking: NodeJS.Timeout | null = null;

  constructor(private readonly options: CiProgressOptions) {
    const { io, weights } = options;
    this.terminal = io.isTerminal(2) && !options.quiet;
    this.total = weights.size;
    this.allWeight = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
    this.begun = io.now();
    this.last = this.begun;
  }

  started(spec: JobSpec): void {
    this.running.set(spec.name, { at: null, begun: this.options.io.now(), note: null });
    if (this.terminal) this.ticking ??= setInterval(() => this.draw(), TICK_MS).unref();
    this.draw();
  }

  progress(spec: JobSpec, at: Progress): void {
    const running = this.running.get(spec.name);
    if (running) running.at = at;
    if (this.terminal) this.draw();
    else this.breakSilence();
  }

  note(spec: JobSpec, text: string): void {
    const running = this.running.get(spec.name);
    if (running) running.note = text;
    this.draw();
  }

  finished(spec: JobSpec, result: JobResult): void {
    this.running.delete(spec.name);
    this.done++;
    this.doneWeight += this.options.weights.get(spec.name) ?? 0;
    if (this.options.quiet) return;
    this.say(resultLine(result, this.done, this.total));
  }

  /** A permanent line. */
  say(text: string): void {
    if (this.options.quiet) return;
    this.clear();
    this.options.io.err(`${text}\n`);
    this.last = this.options.io.now();
    this.draw(true);
  }

  /** Removes what is drawn, before other output. */
  private clear(): void {
    if (this.drawn === 0) return;
    this.options.io.err(`\x1b[${this.drawn}A\x1b[J`);
    this.drawn = 0;
  }

  /** The run is over. */
  end(): void {
    if (this.ticking) clearInterval(this.ticking);
    this.ticking = null;
    this.clear();
  }

  private draw(now = false): void {
    if (!this.terminal) return;
    const time = this.options.io.now();
    if (!now && time - this.last < REDRAW_MS) return;
    this.last = time;
    const lines = [...this.running].map(([name, running]) => this.runningLine(name, running, time));
    if (this.running.size > 0) lines.push(this.wholeLine(time));
    const erase = this.drawn > 0 ? `\x1b[${this.drawn}A\x1b[J` : '';
    this.options.io.err(
      erase + lines.map((line) => `${fitText(line, this.options.io.columns(2))}\n`).join(''),
    );
    this.drawn = lines.length;
  }

  private breakSilence(): void {
    const time = this.options.io.now();
    if (this.options.quiet || time - this.last < PLAIN_SILENCE_MS) return;
    this.last = time;
    const lines = [...this.running].map(([name, running]) => `${this.runningLine(name, running, time)}\n`);
    this.options.io.err(lines.join(''));
  }

  private runningLine(name: string, { at, begun, note }: Running, time: number): string {
    const bar = this.terminal ? `${barOf(at)} ` : '';
    const where = at && at.frames > 0 ? `frame ${at.frame} of ${at.frames}` : (note ?? 'starting');
    const what =
      at?.phase === 'asking'
        ? 'evaluating questions'
        : at?.phase === 'keeping'
          ? 'writing a checkpoint'
          : where;
    return `  ${bar}${printable(name)}: ${what}, ${elapsedText((time - begun) / 1000)}`;
  }

  private wholeLine(time: number): string {
    const left = this.secondsLeft(time);
    const rest = left === null ? '' : `, about ${elapsedText(left)} left`;
    return `${this.done} of ${this.total} done, ${elapsedText((time - this.begun) / 1000)}${rest}`;
  }

  /** Estimated from the progress so far; null before there is any. */
  private secondsLeft(time: number): number | null {
    let done = this.doneWeight;
    for (const [name, { at }] of this.running) {
      if (at && at.frames > 0) done += ((this.options.weights.get(name) ?? 0) * at.frame) / at.frames;
    }
    if (done <= 0) return null;
    const passed = (time - this.begun) / 1000;
    return (passed / done) * (this.allWeight - done);
  }
}

const BAR = 10;

function barOf(at: Progress | null): string {
  const part = at && at.frames > 0 ? Math.min(1, at.frame / at.frames) : 0;
  const full = Math.round(part * BAR);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}]`;
}

const WORDS = { passed: 'pass', failed: 'FAIL', error: 'ERROR', skipped: 'skip' } as const;

/** The line of a finished job. */
export function resultLine(result: JobResult, done: number, total: number): string {
  const { state, name, seconds, cached, flaky, attempts, worker } = result;
  const notes = [
    ...(cached ? ['cached'] : [durationText(seconds)]),
    ...(flaky ? [`FLAKY: passed at attempt ${attempts}`] : []),
    ...(worker === null ? [] : [worker]),
  ];
  const why = state === 'passed' ? '' : `: ${printable(headline(result))}`;
  const count = String(done).padStart(String(total).length);
  return `[${count}/${total}] ${WORDS[state].padEnd(5)} ${printable(name)} (${notes.join(', ')})${why}`;
}
