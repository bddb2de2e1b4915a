/* A peer on libssh (libssh.org). What it understands is in ../PROTOCOL.md. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <libssh/libssh.h>
#include <libssh/sftp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bytes { char *at; size_t length, room; };

static void append(struct bytes *to, const void *from, size_t length)
{
	if (to->length + length + 1 > to->room) {
		to->room = 2 * (to->length + length) + 4096;
		to->at = realloc(to->at, to->room);
	}
	memcpy(to->at + to->length, from, length);
	to->length += length;
	to->at[to->length] = 0;
}

static struct bytes content(const char *path)
{
	struct bytes all = { 0 };
	char chunk[65536];
	FILE *file = fopen(path, "rb");
	append(&all, "", 0);
	if (file == NULL) return all;
	for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;) append(&all, chunk, n);
	fclose(file);
	return all;
}

static void keep(const char *folder, const char *name, struct bytes what)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "wb");
	if (what.length > 0) fwrite(what.at, 1, what.length, file);
	fclose(file);
}

static void say(const char *word, const char *format, ...)
{
	fputs(word, stdout);
	if (format != NULL) {
		char text[65536];
		va_list args;
		va_start(args, format);
		vsnprintf(text, sizeof text, format, args);
		va_end(args);
		putchar(' ');
		for (const unsigned char *c = (unsigned char *)text; *c; c++) {
			if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~", *c)) putchar(*c);
			else printf("%%%02X", *c);
		}
	}
	putchar('\n');
	fflush(stdout);
}

static void decode(char *word)
{
	char *to = word;
	unsigned byte;
	for (; *word; word++) {
		if (*word == '%' && sscanf(word + 1, "%2x", &byte) == 1) { *to++ = (char)byte; word += 2; }
		else *to++ = *word;
	}
	*to = 0;
}

static int split(char *line, char *words[], int most)
{
	int count = 0;
	for (char *word = strtok(line, " \n"); word != NULL && count < most; word = strtok(NULL, " \n")) {
		words[count++] = word;
	}
	for (int i = 0; i < count; i++) decode(words[i]);
	return count;
}

/* The error of the last failed call. */
static const char *problem;

static int fail(const char *what) { problem = what; return -1; }

static ssh_session open_session(const char *auth, uint64_t rekey)
{
	ssh_session session = ssh_new();
	const char *key_file = getenv("PEER_KEY");
	int port = atoi(getenv("PEER_PORT"));
	ssh_options_set(session, SSH_OPTIONS_HOST, getenv("PEER_HOST"));
	ssh_options_set(session, SSH_OPTIONS_PORT, &port);
	ssh_options_set(session, SSH_OPTIONS_USER, getenv("PEER_USER"));
	ssh_options_set(session, SSH_OPTIONS_KNOWNHOSTS, getenv("PEER_KNOWN_HOSTS"));
	ssh_options_set(session, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
	int no = 0;
	ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &no);
	if (rekey > 0) ssh_options_set(session, SSH_OPTIONS_REKEY_DATA, &rekey);
	problem = NULL;
	if (ssh_connect(session) != SSH_OK) {
		problem = ssh_get_error(session);
	} else if (ssh_session_is_known_server(session) != SSH_KNOWN_HOSTS_OK) {
		problem = "the server's key is not a known one";
	} else if (strcmp(auth, "agent") == 0) {
		if (ssh_userauth_agent(session, NULL) != SSH_AUTH_SUCCESS) problem = "the agent's keys were refused";
	} else {
		char certificate_file[4096];
		ssh_key key = NULL, certificate = NULL;
		snprintf(certificate_file, sizeof certificate_file, "%s-cert.pub", key_file);
		if (ssh_pki_import_privkey_file(key_file, NULL, NULL, NULL, &key) != SSH_OK
		    || ssh_pki_import_cert_file(certificate_file, &certificate) != SSH_OK
		    || ssh_pki_copy_cert_to_privkey(certificate, key) != SSH_OK) problem = "key and certificate could not be read";
		else if (ssh_userauth_try_publickey(session, NULL, certificate) != SSH_AUTH_SUCCESS
			 || ssh_userauth_publickey(session, NULL, key) != SSH_AUTH_SUCCESS) problem = "the certificate was refused";
		ssh_key_free(key);
		ssh_key_free(certificate);
	}
	return session;
}

static ssh_channel open_channel(ssh_session session)
{
	ssh_channel channel = ssh_channel_new(session);
	if (ssh_channel_open_session(channel) != SSH_OK) problem = ssh_get_error(session);
	return channel;
}

/* Sends the input and reads the output concurrently, until both ends are closed. */
static int pump(ssh_session session, ssh_channel channel, struct bytes input, struct bytes back[2])
{
	char chunk[32768];
	size_t sent = 0;
	int ended = 0;
	while (!ssh_channel_is_closed(channel)) {
		int moved = 0;
		if (sent < input.length) {
			uint32_t window = ssh_channel_window_size(channel);
			uint32_t most = input.length - sent < sizeof chunk ? input.length - sent : sizeof chunk;
			if (window < most) most = window;
			if (most > 0) {
				int n = ssh_channel_write(channel, input.at + sent, most);
				if (n < 0) return fail(ssh_get_error(session));
				sent += n;
				moved += n;
			}
		} else if (!ended) {
			ended = 1;
			ssh_channel_send_eof(channel);
		}
		for (int is_stderr = 0; is_stderr < 2; is_stderr++) {
			int n = ssh_channel_read_nonblocking(channel, chunk, sizeof chunk, is_stderr);
			if (n > 0) { append(&back[is_stderr], chunk, n); moved += n; }
			if (n == SSH_ERROR) return fail(ssh_get_error(session));
		}
		if (ssh_channel_is_eof(channel) && ended && moved == 0) break;
		if (moved == 0) {
			int n = ssh_channel_poll_timeout(channel, 20, 0);
			if (n == SSH_ERROR) return fail(ssh_get_error(session));
		}
	}
	return 0;
}

static int run(ssh_session session, const char *command, const char *input, const char *folder)
{
	struct bytes back[2] = { 0 };
	ssh_channel channel = open_channel(session);
	if (problem != NULL) return -1;
	if (ssh_channel_request_exec(channel, command) != SSH_OK) return fail(ssh_get_error(session));
	if (pump(session, channel, content(input), back) != 0) return -1;
	keep(folder, "stdout", back[0]);
	keep(folder, "stderr", back[1]);
	say("exit", "%d", ssh_channel_get_exit_status(channel));
	ssh_channel_close(channel);
	ssh_channel_free(channel);
	return 0;
}

static int shell(ssh_session session, const char *folder)
{
	static const char line[] = "stty size; read line; stty size; exit 5\n";
	struct bytes printed = { 0 };
	char chunk[4096];
	int changed = 0;
	ssh_channel channel = open_channel(session);
	if (problem != NULL) return -1;
	if (ssh_channel_request_pty_size(channel, "xterm-256color", 80, 24) != SSH_OK) return fail(ssh_get_error(session));
	if (ssh_channel_request_shell(channel) != SSH_OK) return fail(ssh_get_error(session));
	ssh_channel_write(channel, line, sizeof line - 1);
	for (int n; (n = ssh_channel_read(channel, chunk, sizeof chunk, 0)) > 0;) {
		append(&printed, chunk, n);
		if (changed || strstr(printed.at, "24 80") == NULL) continue;
		changed = 1;
		if (ssh_channel_change_pty_size(channel, 132, 43) != SSH_OK) return fail(ssh_get_error(session));
		ssh_channel_write(channel, "\n", 1);
	}
	keep(folder, "stdout", printed);
	say("exit", "%d", ssh_channel_get_exit_status(channel));
	ssh_channel_close(channel);
	ssh_channel_free(channel);
	return 0;
}

static int two(ssh_session session, char *files[2], const char *folder)
{
	ssh_channel channels[2];
	int codes[2];
	for (int i = 0; i < 2; i++) {
		channels[i] = open_channel(session);
		if (problem != NULL) return -1;
		if (ssh_channel_request_exec(channels[i], content(files[i]).at) != SSH_OK) return fail(ssh_get_error(session));
	}
	for (int i = 0; i < 2; i++) {
		struct bytes printed = { 0 };
		char chunk[4096];
		for (int n; (n = ssh_channel_read(channels[i], chunk, sizeof chunk, 0)) > 0;) append(&printed, chunk, n);
		keep(folder, i == 0 ? "stdout1" : "stdout2", printed);
		codes[i] = ssh_channel_get_exit_status(channels[i]);
		ssh_channel_close(channels[i]);
		ssh_channel_free(channels[i]);
	}
	printf("exit %d %d\n", codes[0], codes[1]);
	fflush(stdout);
	return 0;
}

static int local(ssh_session session, const char *host, int port, const char *input, const char *folder)
{
	struct bytes back[2] = { 0 };
	ssh_channel channel = ssh_channel_new(session);
	if (ssh_channel_open_forward(channel, host, port, "127.0.0.1", 0) != SSH_OK) return fail(ssh_get_error(session));
	if (pump(session, channel, content(input), back) != 0) return -1;
	keep(folder, "stdout", back[0]);
	ssh_channel_close(channel);
	ssh_channel_free(channel);
	return 0;
}

static int remote(ssh_session session)
{
	int port = 0;
	char chunk[32768];
	if (ssh_channel_listen_forward(session, "127.0.0.1", 0, &port) != SSH_OK) return fail(ssh_get_error(session));
	say("port", "%d", port);
	ssh_channel channel = ssh_channel_open_forward_port(session, 30000, NULL, NULL, NULL);
	if (channel == NULL) return fail(ssh_get_error(session));
	for (int n; (n = ssh_channel_read(channel, chunk, sizeof chunk, 0)) > 0;) {
		if (ssh_channel_write(channel, chunk, n) != n) return fail(ssh_get_error(session));
	}
	ssh_channel_send_eof(channel);
	ssh_channel_close(channel);
	ssh_channel_free(channel);
	return ssh_channel_cancel_forward(session, "127.0.0.1", port) == SSH_OK ? 0 : fail(ssh_get_error(session));
}

static int put(sftp_session sftp, const char *from, const char *to)
{
	struct bytes all = content(from);
	sftp_file file = sftp_open(sftp, to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (file == NULL) return -1;
	for (size_t sent = 0; sent < all.length;) {
		ssize_t n = sftp_write(file, all.at + sent, all.length - sent < 32768 ? all.length - sent : 32768);
		if (n < 0) return -1;
		sent += n;
	}
	free(all.at);
	return sftp_close(file) == SSH_OK ? 0 : -1;
}

static int get(sftp_session sftp, const char *from, const char *to)
{
	char chunk[32768];
	ssize_t n;
	sftp_file file = sftp_open(sftp, from, O_RDONLY, 0);
	if (file == NULL) return -1;
	FILE *out = fopen(to, "wb");
	while ((n = sftp_read(file, chunk, sizeof chunk)) > 0) fwrite(chunk, 1, n, out);
	fclose(out);
	return sftp_close(file) == SSH_OK && n == 0 ? 0 : -1;
}

static int operate(sftp_session sftp, char *words[])
{
	const char *verb = words[0], *path = words[1];
	if (strcmp(verb, "mkdir") == 0) return sftp_mkdir(sftp, path, 0755);
	if (strcmp(verb, "put") == 0) return put(sftp, path, words[2]);
	if (strcmp(verb, "get") == 0) return get(sftp, path, words[2]);
	if (strcmp(verb, "rename") == 0) return sftp_rename(sftp, path, words[2]);
	if (strcmp(verb, "symlink") == 0) return sftp_symlink(sftp, path, words[2]);
	if (strcmp(verb, "remove") == 0) return sftp_unlink(sftp, path);
	if (strcmp(verb, "rmdir") == 0) return sftp_rmdir(sftp, path);
	if (strcmp(verb, "readlink") == 0) {
		char *target = sftp_readlink(sftp, path);
		if (target == NULL) return -1;
		say("target", "%s", target);
		return 0;
	}
	if (strcmp(verb, "size") == 0) {
		sftp_attributes attributes = sftp_stat(sftp, path);
		if (attributes == NULL) return -1;
		say("size", "%llu", (unsigned long long)attributes->size);
		return 0;
	}
	sftp_dir dir = sftp_opendir(sftp, path);
	if (dir == NULL) return -1;
	for (sftp_attributes entry; (entry = sftp_readdir(sftp, dir)) != NULL; sftp_attributes_free(entry)) {
		if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0) say("name", "%s", entry->name);
	}
	return sftp_closedir(dir);
}

static int script(ssh_session session, const char *file)
{
	sftp_session sftp = sftp_new(session);
	if (sftp == NULL || sftp_init(sftp) != SSH_OK) return fail(ssh_get_error(session));
	char *rest = content(file).at;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		char *words[4] = { 0 };
		if (split(line, words, 3) < 2) continue;
		if (operate(sftp, words) == 0) say("ok", NULL);
		else say("error", "%d %s", sftp_get_error(sftp), ssh_get_error(session));
	}
	sftp_free(sftp);
	return 0;
}

static int answer(ssh_session session, char *verb, char *args[])
{
	if (problem != NULL) return -1;
	if (strcmp(verb, "exec") == 0) return run(session, content(args[0]).at, args[1], args[2]);
	if (strcmp(verb, "rekey") == 0) return run(session, "cat", args[0], args[1]);
	if (strcmp(verb, "shell") == 0) return shell(session, args[0]);
	if (strcmp(verb, "two") == 0) return two(session, args, args[2]);
	if (strcmp(verb, "local") == 0) return local(session, args[0], atoi(args[1]), args[2], args[3]);
	if (strcmp(verb, "remote") == 0) return remote(session);
	return strcmp(verb, "sftp") == 0 ? script(session, args[0]) : fail("no such verb");
}

int main(void)
{
	static char line[1 << 20];
	while (fgets(line, sizeof line, stdin) != NULL) {
		char *words[8] = { 0 };
		split(line, words, 7);
		ssh_session session = open_session(words[0], strcmp(words[1], "rekey") == 0 ? 1 << 20 : 0);
		if (answer(session, words[1], words + 2) == 0) say("done", NULL);
		else say("failed", "%s", problem);
		ssh_disconnect(session);
		ssh_free(session);
	}
	return 0;
}
