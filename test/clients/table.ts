/** Makes the tables of README.md from the lists that the suite runs. */
import { CLEAN_CLOSE, cases } from './cases.js';
import { optionCases } from './openssh.js';
import { peers } from './peers.js';
import { programCases } from './programs.js';

export function tables(): string {
  const all = [...cases, CLEAN_CLOSE];
  const shown = (cannot: Readonly<Record<string, string>>): string => {
    const left = Object.keys(cannot);
    return left.length === 0 ? `all ${all.length} cases` : `${all.length - left.length} of ${all.length} cases`;
  };
  return [
    '| case | the client |',
    '|---|---|',
    ...all.map(({ name, claim }) => `| ${name} | ${claim} |`),
    '',
    '| peer | library | version | verifies the server by | shown | cannot, even at a plain sshd | notes |',
    '|---|---|---|---|---|---|---|',
    ...peers.map(
      ({ name, library, version, trust, cannot, notes = '' }) =>
        `| ${name} | ${library} | ${version} | ${trust === 'authority' ? 'the host CA' : 'its host key'} | ${shown(cannot)} | ${Object.entries(
          cannot,
        )
          .map(([what, why]) => `${what}: ${why}`)
          .join('; ')} | ${notes} |`,
    ),
    '',
    '| program | what is shown | limits |',
    '|---|---|---|',
    ...programCases.map(({ option, claim, limits }) => `| ${option} | ${claim} | ${limits} |`),
    '',
    '| OpenSSH | what is shown |',
    '|---|---|',
    ...optionCases.map(({ option, claim }) => `| \`${option}\` | ${claim} |`),
    '',
  ].join('\n');
}
