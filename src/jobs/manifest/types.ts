/** A manifest as written; schema/ci-manifest.schema.json says what each field means. */
import type { JobSpec, MemoryType } from '../model/spec.js';

export type TextTestSource =
  string | { equals?: string | number | boolean; file?: string; contains?: string; matches?: string };

export type PlaceSource = 'exit' | { frame: number } | { symbol: string; hit?: number };

export interface QuestionSource {
  name?: string;
  at: PlaceSource;
  expression?: string;
  call?: string;
  memory?: string;
  type?: MemoryType;
  equals?: string | number | boolean;
  contains?: string;
  matches?: string;
  output?: TextTestSource;
}

export interface ExpectSource {
  replay?: 'full' | { until: number };
  stdout?: TextTestSource;
  stderr?: TextTestSource;
  status?: number;
  signal?: string;
  reaches?: (number | { frame: number; event?: string })[];
}

export interface Settings {
  timeout?: number | string;
  stallLimit?: number | string;
  memory?: number | string;
  machine?: JobSpec['machine'];
  cpu?: string;
  retries?: number;
  verifyTicks?: boolean;
  unpacked?: boolean;
  files?: string | string[];
  clock?: JobSpec['clock'];
  like?: string;
}

export interface Entry extends Settings {
  name?: string;
  paths: string | string[];
  exclude?: string | string[];
  expect?: ExpectSource;
  questions?: QuestionSource[];
}

export interface Manifest {
  version: 1;
  defaults?: Settings;
  traces: Entry[];
}
