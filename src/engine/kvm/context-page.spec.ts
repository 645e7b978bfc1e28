import { expect, it } from 'vitest';
import { gpa, gva } from '../base/address.js';
import { Reg, getRegister, setRegister } from '../base/registers.js';
import { ContextPage } from './context-page.js';
import { ContextOffset, ContextRequest, Ring0 } from './layout.js';

const make = (): { context: ContextPage; view: DataView } => {
  const pool = new ArrayBuffer(Ring0.end);
  return { context: new ContextPage(pool), view: new DataView(pool, Ring0.context, 4096) };
};

it('is a view: registers and vector are the bytes that the stub writes', () => {
  const { context, view } = make();
  view.setUint32(ContextOffset.vector, 14, true);
  view.setBigUint64(ContextOffset.cr2, 0x7fff_1234_5678n, true);
  view.setBigUint64(ContextOffset.registers + 8 * Reg.rip, 0x401000n, true);
  expect(context.vector).toBe(14);
  expect([context.cr2Low, context.cr2High]).toEqual([0x1234_5678, 0x7fff]);
  expect(getRegister(context.registers, Reg.rip)).toBe(0x401000n);
  setRegister(context.registers, Reg.gs, 0x2bn);
  expect(view.getBigUint64(ContextOffset.registers + 8 * Reg.gs, true)).toBe(0x2bn);
});

it('collects requests until they are performed', () => {
  const { context, view } = make();
  context.requestCr3(gpa(0x1_2345_6000));
  context.requestXrstor();
  expect(context.requests).toBe(ContextRequest.cr3 | ContextRequest.xrstor);
  expect(view.getBigUint64(ContextOffset.cr3, true)).toBe(0x1_2345_6000n);
  context.dropRequests();
  context.requestFlush();
  expect(context.requests).toBe(ContextRequest.cr3);
});

it('arms debug registers, and asks for them to be loaded only when something changes', () => {
  const { context, view } = make();
  context.setBreakpoint(0, null);
  expect(context.requests).toBe(0);
  context.setBreakpoint(2, gva(0x7fff_0040_1000));
  expect(context.requests).toBe(ContextRequest.debug);
  expect(view.getBigUint64(ContextOffset.dr0 + 16, true)).toBe(0x7fff_0040_1000n);
  expect(view.getUint32(ContextOffset.dr7, true)).toBe(0x410);
  // Dropped, they would never be loaded: the registers' contents are here already.
  context.dropRequests();
  expect(context.requests).toBe(ContextRequest.debug);
  view.setUint32(ContextOffset.requests, 0, true); // performed
  context.setBreakpoint(2, gva(0x7fff_0040_1000));
  expect(context.requests).toBe(0);
  context.setBreakpoint(2, null);
  expect(context.requests).toBe(ContextRequest.debug);
  expect(view.getUint32(ContextOffset.dr7, true)).toBe(0x400);
});

it('knows whose a debug register is', () => {
  const { context, view } = make();
  const dr7 = (): number => view.getUint32(ContextOffset.dr7, true);
  context.setStop(0, gva(0x401000));
  context.setDataBreakpoint(1, gva(0x402000), 8, false);
  expect([dr7(), context.isClaimed(0), context.hasBreakpoint(gva(0x401000))]).toEqual([
    0x900405,
    false,
    false,
  ]);
  context.setBreakpoint(0, null);
  context.setBreakpoint(1, null);
  expect(dr7()).toBe(0x900405);
  context.setBreakpoint(1, gva(0x403000));
  expect([dr7(), context.isClaimed(1), context.hasBreakpoint(gva(0x403000))]).toEqual([0x405, true, true]);
  context.release(1);
  context.release(0);
  expect(dr7()).toBe(0x404);
  const saved = context.saveStop();
  context.clearDebugRegisters();
  expect([dr7(), context.isClaimed(1)]).toEqual([0x400, false]);
  context.restoreStop(saved);
  expect([dr7(), context.isClaimed(1)]).toEqual([0x404, true]);
});
