import type { Gva } from '../base/address.js';
import type { Task } from '../task/task.js';
import type { ReplayCore } from './core.js';

export function symbolOf(_core: ReplayCore, _task: Task, _address: Gva): string | null {
  return null;
}
