/**
 * Files that decide which programs a machine starts and who can log in: when a session writes one, the agent records the content's SHA-256
 * before and after (agent/kernel/collecting/contents.ts), and the analyzer makes a finding. Files are recognized by the path that the
 * kernel resolved: a copy elsewhere that a program is told to read is not found. Tested in configuration.test.ts.
 */
export const configurationKinds = ['unit', 'cron', 'sudoers', 'keys', 'pam', 'preload', 'sshd'] as const;
export type ConfigurationKind = (typeof configurationKinds)[number];

const patterns: readonly (readonly [ConfigurationKind, RegExp])[] = [
  [
    'unit',
    /^\/(etc|run|usr\/lib|lib|usr\/local\/lib)\/systemd\/(system|user|system-generators|user-generators)\/.+|\/\.config\/systemd\/user\/.+|^\/etc\/(init\.d\/.+|rc\.local)$/,
  ],
  ['cron', /^\/etc\/(crontab|anacrontab|cron\.(d|hourly|daily|weekly|monthly)\/.+|cron\.(allow|deny))$|^\/var\/spool\/(cron|anacron)\/.+/],
  ['sudoers', /^\/etc\/(sudoers|sudoers\.d\/.+|doas\.conf)$/],
  ['keys', /\/\.ssh\/authorized_keys2?$|^\/etc\/ssh\/authorized_keys(\/.+|\.d\/.+)?$/],
  ['pam', /^\/etc\/pam\.(conf|d\/.+)$|^\/etc\/security\/.+\.conf$/],
  ['preload', /^\/etc\/ld\.so\.(preload|conf|conf\.d\/.+)$/],
  ['sshd', /^\/etc\/ssh\/sshd_config(\.d\/.+)?$/],
];

/** Temporary files of editors and package managers, which rename them onto the file or remove them; only the rename counts. */
const besides =
  /(~|\.(sw[a-z]|tmp|dpkg-(new|tmp|old|dist)|rpm(new|save|orig)|ucf-(new|old|dist)))$|\/(\.#|sed[A-Za-z0-9]{6}$|tmp\.[A-Za-z0-9]+$)/;

/** Null: not a configuration file. */
export function configurationOf(path: string): ConfigurationKind | null {
  const kind = patterns.find(([, pattern]) => pattern.test(path))?.[0] ?? null;
  return kind === null || besides.test(path) ? null : kind;
}

/** Larger files are not read. */
export const MAX_CONFIGURATION_BYTES = 1 << 20;

/** `name` of the `file` event about the content after a change: its data has `sha256`, or `missing`. */
export const CONTENT_ROW = 'content';
