/**
 * One job: a trace, its expectations, its limits. Plain data: it is sent to worker processes and
 * through queues as JSON, so it refers to nothing that only this process has.
 */
import type { MachineChoice } from '../../machine/kinds.js';

/** A test of a text (output of the program, a value). All that are given must hold. */
export interface TextTest {
  /** The whole text. Numbers are compared as numbers where both sides are whole numbers. */
  equals?: string;
  /** The whole text, byte for byte, as base64: what YAML cannot hold. */
  bytes?: string;
  /** The same where it is large: its size and SHA-256. */
  digest?: { bytes: number; sha256: string };
  contains?: string;
  /** A regular expression of ECMAScript, flags `su`; found anywhere. */
  matches?: string;
}

/** Where a question is asked, or what must be reached. */
export type QuestionPlace =
  /** After this frame. */
  | { kind: 'frame'; frame: number }
  /** At the `hit`th arrival at a function (symbol, or symbol+0x10), by any task. */
  | { kind: 'symbol'; symbol: string; hit: number }
  /** Where the first program enters its last system call, exit_group: all its memory is still there. */
  | { kind: 'exit' };

export interface Reach {
  frame: number;
  /** The recorded event, with rr's name (`write entering`); null: any. */
  event: string | null;
}

export interface Expectation {
  /** How far the replay goes: to the last frame, or to this one. */
  until: number | null;
  stdout: TextTest | null;
  stderr: TextTest | null;
  /** As a shell sees it: 128 + signal for a fatal one. */
  status: number | null;
  reaches: Reach[];
  /** Why the files beside the trace give no expectations; a sentence. */
  unreadable?: string;
}

export type Ask =
  /** An expression as of `revenant call`, evaluated in a diversion. */
  | { kind: 'expression'; expression: string }
  /** The same for a call's output. */
  | { kind: 'call'; call: string }
  /** Memory at a symbol or address, read without a diversion. */
  | { kind: 'memory'; address: string; type: MemoryType };

export const MEMORY_TYPES = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'u64', 'i64', 'string'] as const;
export type MemoryType = (typeof MEMORY_TYPES)[number];

export interface Question {
  name: string;
  at: QuestionPlace;
  ask: Ask;
  test: TextTest;
}

export interface Limits {
  /** Of the whole job; the worker process is killed then. */
  timeoutSeconds: number;
  /** Guest memory; null: as much as the machine has. */
  memoryBytes: number | null;
  /** Seconds the guest may run without reaching the next frame. */
  stallSeconds: number;
}

export interface JobSpec {
  /** Unique among the jobs of a run. */
  name: string;
  /** The trace folder, absolute. */
  trace: string;
  /** Trace whose header stands in for a missing one, absolute, or null. */
  like: string | null;
  unpacked: boolean;
  /** Folders, absolute, in which files may lie that the trace names or links to. */
  files: string[];
  /** Of questions' calls: the recording's clocks or this machine's. */
  clock: 'recorded' | 'now';
  verifyTicks: boolean;
  machine: MachineChoice;
  cpu: string | null;
  expect: Expectation;
  questions: Question[];
  limits: Limits;
  /** Attempts after a failure; results say when one was used. */
  retries: number;
  /** Where a manifest asks for it; null: found in a folder. Lines count from 1. */
  source: { file: string; line: number } | null;
}

/** Expects only that the trace replays. */
export const NO_EXPECTATION: Expectation = {
  until: null,
  stdout: null,
  stderr: null,
  status: null,
  reaches: [],
};

/** The question as in the manifest. */
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
export function placeText(place: QuestionPlace): string {
  switch (place.kind) {
    case 'exit':
      return 'at exit';
    case 'frame':
      return `after frame ${place.frame}`;
    case 'symbol':
      return `at ${place.symbol}, hit ${place.hit}`;
  }
}
