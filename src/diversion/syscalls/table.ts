import type { Kernel } from '../kernel/kernel.js';
import { Dispatcher } from './dispatch.js';
import { fileCalls } from './files.js';
import { futexCalls } from './futex.js';
import { identityCalls } from './identity.js';
import { memoryCalls } from './memory.js';
import { pathCalls } from './paths.js';
import { pollingCalls } from './polling.js';
import { signalCalls } from './signals.js';
import { socketCalls } from './sockets.js';
import { taskCalls } from './tasks.js';
import { timeCalls } from './time.js';

/** Every system call that diversions emulate; all others are ENOSYS. */
export const dispatcherFor = (kernel: Kernel): Dispatcher =>
  new Dispatcher(kernel, [
    fileCalls,
    pathCalls,
    pollingCalls,
    socketCalls,
    memoryCalls,
    taskCalls,
    futexCalls,
    signalCalls,
    timeCalls,
    identityCalls,
  ]);
