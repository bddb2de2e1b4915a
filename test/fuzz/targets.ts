/** Every parser of bytes from outside, by name. docs/security-tests.md lists them; fuzz.test.ts compares. */
import type { Target } from './target.js';
import { kernelTargets } from './targets/kernel.js';
import { kubeTargets } from './targets/kube.js';
import { nodeTargets } from './targets/node.js';
import { pageSshTargets } from './targets/page-ssh.js';
import { recordingTargets } from './targets/recording.js';
import { sshTargets } from './targets/ssh.js';
import { streamTargets } from './targets/streams.js';
import { textTargets } from './targets/text.js';
import { wireTargets } from './targets/wire.js';

export const targets: readonly Target[] = [
  ...sshTargets,
  ...pageSshTargets,
  ...streamTargets,
  ...wireTargets,
  ...recordingTargets,
  ...kernelTargets,
  ...nodeTargets,
  ...kubeTargets,
  ...textTargets,
];
