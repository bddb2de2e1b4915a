import { runService } from '#runtime/service/process.js';
import { startAgent } from './agent.js';
import type { AgentConfig } from './agent.js';
import { containUncaught } from './ssh/boundary.js';
import { KernelRecorder } from './kernel/kernel-recorder.js';

// Load before the configuration arrives, while the authority starts too.
const kernelLoad = KernelRecorder.load();
runService<AgentConfig>('agent', (config, { log }) => startAgent(config, { log, kernelLoad }), containUncaught);
