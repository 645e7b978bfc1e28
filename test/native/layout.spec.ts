import { expect, it } from 'vitest';
import {
  Command,
  ContextOffset,
  ContextRequest,
  ControlOffset,
  EngineSelector,
  ExitKind,
  MOST_FLUSHED,
  Ring0,
  StagedOffset,
  Vector,
} from '../../src/engine/kvm/layout.js';
import { nativeLayout } from '../../src/engine/kvm/native.js';
import { MachineArea } from '../../src/engine/kvm/stale-code.js';

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const upper = (name: string): string => snake(name).toUpperCase();
const renamed = (table: Record<string, number>, rename: (name: string) => string): Record<string, number> =>
  Object.fromEntries(Object.entries(table).map(([name, value]) => [rename(name), value]));

it('agrees with native/kvm', () => {
  const native = nativeLayout();
  const expected: Record<string, number> = {
    CTX_FLUSH_MOST: MOST_FLUSHED,
    ...renamed(ControlOffset, (name) => `control.${snake(name)}`),
    ...renamed(Command, (name) => `command.${snake(name)}`),
    ...renamed(ExitKind, (name) => `exitKind.${name}`),
    ...renamed(Ring0, (name) => `R0_${upper(name)}`),
    ...renamed(ContextOffset, (name) => `CTX_${upper(name)}`),
    ...renamed(ContextRequest, (name) => `CTX_REQUEST_${upper(name)}`),
    ...renamed(StagedOffset, (name) => `STAGED_${upper(name)}`),
    ...renamed(EngineSelector, (name) => `SEL_${upper(name)}`),
    ...renamed(Vector, (name) => `VECTOR_${upper(name)}`),
    ...renamed(MachineArea, (name) => `machineArea.${name}`),
  };
  expect(native).toMatchObject(expected);
});
