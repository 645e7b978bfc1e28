/** Python buffers its output if that is not a terminal; it is flushed by Python itself. */
import { gva, type Gva } from '../../engine/base/address.js';
import type { OwnCall } from './own-call.js';

/** Of CPython 3.4 and later (Python/C API reference manual). */
export const PYTHON_FUNCTIONS = [
  'PyGILState_Check',
  'PyErr_Occurred',
  'PyErr_Fetch',
  'PyErr_Restore',
  'PyErr_Clear',
  'PySys_GetObject',
  'PyObject_CallMethod',
  'Py_DecRef',
] as const;

type PythonFunction = (typeof PYTHON_FUNCTIONS)[number];

const text = (value: string): Uint8Array => Buffer.from(`${value}\0`);

/**
 * `sys.stdout.flush()` and the same of stderr, if the task holds the lock of the interpreter. A
 * pending exception is preserved; those of `flush` are discarded. Throws CallFailed.
 */
export async function flushPython(call: OwnCall, addressOf: (name: string) => Gva | null): Promise<void> {
  const api = new Map<PythonFunction, Gva>();
  for (const name of PYTHON_FUNCTIONS) {
    const address = addressOf(name);
    if (address === null) return;
    api.set(name, address);
  }
  const python = (name: PythonFunction, ...values: bigint[]): Promise<bigint> =>
    call.run(api.get(name) ?? gva(0), values);
  if (((await python('PyGILState_Check')) & 0xffff_ffffn) !== 1n) return;
  const isRaised = (await python('PyErr_Occurred')) !== 0n;
  const raised = isRaised ? call.place(new Uint8Array(24)) : 0n;
  if (isRaised) await python('PyErr_Fetch', raised, raised + 8n, raised + 16n);
  const flush = call.place(text('flush'));
  for (const name of ['stdout', 'stderr']) {
    const stream = await python('PySys_GetObject', call.place(text(name)));
    if (stream === 0n) continue;
    const result = await python('PyObject_CallMethod', stream, flush, 0n);
    if (result === 0n) await python('PyErr_Clear');
    else await python('Py_DecRef', result);
  }
  if (isRaised) await python('PyErr_Restore', ...call.words(raised, 3));
}
