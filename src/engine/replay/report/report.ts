/**
 * The report of a divergence. The engine fills a `DivergenceReport`, which is plain data; this file
 * formats it as text and JSON. Names come from traces: only printable characters reach a terminal.
 */

import { hex } from '../../base/address.js';
import { RevenantError } from '../../base/errors.js';
import { printable } from '../../base/names.js';
import type { RegisterWords } from '../../base/registers.js';
import { getRegister, REGISTER_NAMES } from '../../base/registers.js';
import type { DisassembledInstruction } from '../../x86/disassemble.js';

export interface ReportRegister {
  name: string;
  /** As recorded, or null if the frame has no registers. */
  expected: bigint | null;
  found: bigint;
  differs: boolean;
}

/** An address with what is there. */
export interface ReportPlace {
  address: bigint;
  /** `insert+0x1c`, or null where no symbol covers it. */
  symbol: string | null;
  /** The mapping as in /proc/PID/maps, or null if unmapped. */
  mapping: string | null;
}

export interface ReportFrame {
  frameTime: number;
  tid: number;
  ticks: number;
  /** With rr's names: `openat entering`, `instructionTrap`. */
  event: string;
}

export interface DivergenceReport {
  /** Directory of the trace, as given on the command line. */
  trace: string;
  frameTime: number;
  tid: number;
  taskName: string;
  /** The recorded event of the frame. */
  event: string;
  /** One clause: what differs. */
  summary: string;
  /** What should have happened and what did, each one clause; null where the registers say it all. */
  expected: string | null;
  found: string | null;
  /** In the order to print; empty when the task has none (it does not exist, or died). */
  registers: ReportRegister[];
  /** Retired conditional branches of the task; `found` is null if they were not counted. */
  ticks: { expected: number; found: number | null } | null;
  rip: ReportPlace | null;
  rsp: ReportPlace | null;
  instructions: DisassembledInstruction[];
  /** Oldest first; the frame of the divergence last. */
  lastFrames: ReportFrame[];
  /** The transport's description: what kind of processor the guest ran on. */
  machine: string;
  /** What the recording's processor had and this machine has not, if that may explain it. */
  machineLacks: string[];
  /** What to do next, in order; full sentences. */
  advice: string[];
  /** The exact command to see it again. */
  rerun: string;
}

/** A value as our JSON has it: 64-bit numbers are hexadecimal strings. */
type InJson<T> = T extends bigint
  ? string
  : T extends readonly (infer Item)[]
    ? InJson<Item>[]
    : T extends object
      ? { [Key in keyof T]: InJson<T[Key]> }
      : T;

export type DivergenceDocument = InJson<DivergenceReport>;

/** The replay differs from the recording. The message is the headline; `formatReport` has the rest. */
export class DivergenceError extends RevenantError {
  constructor(
    readonly report: DivergenceReport,
    options?: { cause?: unknown },
  ) {
    super('E_DIVERGED', headline(report), `To see it again: ${report.rerun}`, options);
  }
}

/**
 * Pairs registers for a report.
 * @param expected the frame's, or null
 * @param differing names of those that count as different (which ones are compared is not decided here)
 */
export function compareRegisters(
  expected: RegisterWords | null,
  found: RegisterWords,
  differing: readonly string[],
): ReportRegister[] {
  return REGISTER_NAMES.map((name, slot) => ({
    name,
    expected: expected && getRegister(expected, slot),
    found: getRegister(found, slot),
    differs: differing.includes(name),
  }));
}

/** A word, quoted for a shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The command that replays a trace up to the frame before `frameTime`, with `options` as they were given. */
export function rerunCommand(trace: string, frameTime: number, options: readonly string[] = []): string {
  const words = ['revenant', 'replay', ...options, '--goto', String(Math.max(1, frameTime - 1)), trace];
  return words.map(quoted).join(' ');
}

function headline({ frameTime, tid, taskName, event, summary }: DivergenceReport): string {
  const name = taskName ? ` (${printable(taskName)})` : '';
  return `The replay diverged at frame ${frameTime}, task ${tid}${name}, ${printable(event)}: ${printable(summary)}.`;
}

const word = (value: bigint | null): string => (value === null ? '' : value.toString(16).padStart(16, '0'));

function registerLines(registers: readonly ReportRegister[]): string[] {
  if (registers.length === 0) return [];
  const lines = registers.map(({ name, expected, found, differs }) =>
    `${differs ? '*' : ' '} ${name.padEnd(8)} ${word(expected).padEnd(16)}  ${word(found)}`.trimEnd(),
  );
  return [`  ${'register'.padEnd(8)} ${'recorded'.padEnd(16)}  replayed`, ...lines];
}

function tickLines({ ticks }: DivergenceReport): string[] {
  if (!ticks) return [];
  const { expected, found } = ticks;
  if (found === null) return [`ticks: ${expected} recorded; not counted here`];
  const difference = Math.abs(found - expected);
  const how = difference === 0 ? 'as recorded' : `${difference} too ${found > expected ? 'many' : 'few'}`;
  return [`ticks: ${expected} recorded, ${found} replayed (${how})`];
}

function placeLines(name: string, place: ReportPlace | null): string[] {
  if (!place) return [];
  const symbol = place.symbol === null ? 'no symbol' : printable(place.symbol);
  const mapping = place.mapping === null ? 'not mapped' : printable(place.mapping);
  return [`${name}: ${hex(place.address)}  ${symbol}`, `     ${mapping}`];
}

/** Further bytes are cut off, to keep the columns. */
const SHOWN_BYTES = 10;

function instructionLines(instructions: readonly DisassembledInstruction[]): string[] {
  return instructions.map(({ address, bytes, text, comment, current }) => {
    const shown = bytes.length > 2 * SHOWN_BYTES ? `${bytes.slice(0, 2 * SHOWN_BYTES)}+` : bytes;
    const line = `${current ? '=>' : '  '} ${hex(address)}  ${shown.padEnd(2 * SHOWN_BYTES + 1)} ${text}`;
    return comment ? `${line}  ; ${printable(comment)}` : line;
  });
}

function frameLines(frames: readonly ReportFrame[]): string[] {
  if (frames.length === 0) return [];
  const widths = [
    Math.max(5, ...frames.map(({ frameTime }) => String(frameTime).length)),
    Math.max(5, ...frames.map(({ tid }) => String(tid).length)),
    Math.max(5, ...frames.map(({ ticks }) => String(ticks).length)),
  ];
  const row = (cells: (string | number)[], event: string): string =>
    `  ${cells.map((cell, index) => String(cell).padStart(widths[index])).join('  ')}  ${event}`;
  const rows = frames.map(({ frameTime, tid, ticks, event }) =>
    row([frameTime, tid, ticks], printable(event)),
  );
  return [row(['frame', 'task', 'ticks'], 'event'), ...rows];
}

const bullets = (title: string, items: readonly string[]): string[] =>
  items.length === 0 ? [] : [title, ...items.map((item) => `  - ${printable(item)}`)];

/** The report as text: sections separated by blank lines, with a final newline. */
export function formatReport(report: DivergenceReport): string {
  const { expected, found } = report;
  const sections = [
    [
      headline(report),
      ...(expected === null ? [] : [`  expected: ${printable(expected)}`]),
      ...(found === null ? [] : [`  found:    ${printable(found)}`]),
      ...tickLines(report),
    ],
    registerLines(report.registers),
    [...placeLines('rip', report.rip), ...placeLines('rsp', report.rsp)],
    instructionLines(report.instructions),
    frameLines(report.lastFrames),
    [
      `machine: ${printable(report.machine)}`,
      ...bullets('It lacks what the recording had:', report.machineLacks),
    ],
    bullets('What to do:', report.advice),
    [`To see it again: ${printable(report.rerun)}`],
  ];
  return `${sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

/** The report as a JSON value: 64-bit numbers as hexadecimal strings. */
export function reportDocument(report: DivergenceReport): DivergenceDocument {
  const text = JSON.stringify(report, (_key, value: unknown) =>
    typeof value === 'bigint' ? hex(value) : value,
  );
  return JSON.parse(text) as DivergenceDocument;
}
