import { StenoError } from '#schemas/base/errors.js';

export function requireNodeVersion(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) throw new StenoError('NODE_VERSION', `${process.versions.node}, needed is 20.19`);
}
