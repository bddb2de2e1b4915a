// A peer on golang.org/x/crypto/ssh and github.com/pkg/sftp. What it understands is in ../PROTOCOL.md.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

var out = bufio.NewWriter(os.Stdout)

func say(words ...string) {
	for i, word := range words {
		if i > 0 {
			out.WriteByte(' ')
			word = url.PathEscape(word)
		}
		out.WriteString(word)
	}
	out.WriteByte('\n')
	out.Flush()
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words := strings.Split(lines.Text(), " ")
		for i := range words {
			words[i], _ = url.PathUnescape(words[i])
		}
		if err := answer(words[0], words[1], words[2:]); err != nil {
			say("failed", err.Error())
		} else {
			say("done")
		}
	}
}

func answer(auth, verb string, args []string) (err error) {
	threshold := uint64(0)
	if verb == "rekey" {
		threshold = 1 << 20
	}
	client, err := connect(auth, threshold)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	switch verb {
	case "exec":
		command, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		return run(client, string(command), args[1], args[2])
	case "rekey":
		return run(client, "cat", args[0], args[1])
	case "shell":
		return shell(client, args[0])
	case "two":
		return two(client, args[0], args[1], args[2])
	case "local":
		return local(client, net.JoinHostPort(args[0], args[1]), args[2], args[3])
	case "remote":
		return remote(client)
	case "sftp":
		return script(client, args[0])
	}
	return fmt.Errorf("no verb %s", verb)
}

func connect(auth string, threshold uint64) (*ssh.Client, error) {
	known, err := knownhosts.New(os.Getenv("PEER_KNOWN_HOSTS"))
	if err != nil {
		return nil, err
	}
	method, err := methodOf(auth)
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{User: os.Getenv("PEER_USER"), Auth: []ssh.AuthMethod{method}, HostKeyCallback: known}
	config.RekeyThreshold = threshold
	return ssh.Dial("tcp", net.JoinHostPort(os.Getenv("PEER_HOST"), os.Getenv("PEER_PORT")), config)
}

func methodOf(auth string) (ssh.AuthMethod, error) {
	if auth == "agent" {
		socket, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
		if err != nil {
			return nil, err
		}
		return ssh.PublicKeysCallback(agent.NewClient(socket).Signers), nil
	}
	key, err := os.ReadFile(os.Getenv("PEER_KEY"))
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return nil, err
	}
	line, err := os.ReadFile(os.Getenv("PEER_KEY") + "-cert.pub")
	if err != nil {
		return nil, err
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, err
	}
	certified, err := ssh.NewCertSigner(public.(*ssh.Certificate), signer)
	if err != nil {
		return nil, err
	}
	return ssh.PublicKeys(certified), nil
}

func exitCode(err error) (int, error) {
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return exit.ExitStatus(), nil
	}
	return 0, err
}

func run(client *ssh.Client, command, input, folder string) error {
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	in, err := os.Open(input)
	if err != nil {
		return err
	}
	defer in.Close()
	stdout, err := os.Create(filepath.Join(folder, "stdout"))
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(folder, "stderr"))
	if err != nil {
		return err
	}
	defer stderr.Close()
	session.Stdin, session.Stdout, session.Stderr = in, stdout, stderr
	code, err := exitCode(session.Run(command))
	if err == nil {
		say("exit", fmt.Sprint(code))
	}
	return err
}

func shell(client *ssh.Client, folder string) error {
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	in, err := session.StdinPipe()
	if err != nil {
		return err
	}
	from, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	if err := session.RequestPty("xterm-256color", 24, 80, ssh.TerminalModes{}); err != nil {
		return err
	}
	if err := session.Shell(); err != nil {
		return err
	}
	if _, err := io.WriteString(in, "stty size; read line; stty size; exit 5\n"); err != nil {
		return err
	}
	var printed bytes.Buffer
	chunk := make([]byte, 4096)
	changed := false
	for {
		n, err := from.Read(chunk)
		printed.Write(chunk[:n])
		if !changed && bytes.Contains(printed.Bytes(), []byte("24 80")) {
			changed = true
			if err := session.WindowChange(43, 132); err != nil {
				return err
			}
			if _, err := io.WriteString(in, "\n"); err != nil {
				return err
			}
		}
		if err != nil {
			break
		}
	}
	code, err := exitCode(session.Wait())
	if err != nil {
		return err
	}
	say("exit", fmt.Sprint(code))
	return os.WriteFile(filepath.Join(folder, "stdout"), printed.Bytes(), 0o600)
}

func two(client *ssh.Client, first, second, folder string) error {
	var sessions [2]*ssh.Session
	var printed [2]bytes.Buffer
	for i, file := range []string{first, second} {
		command, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if sessions[i], err = client.NewSession(); err != nil {
			return err
		}
		defer sessions[i].Close()
		sessions[i].Stdout = &printed[i]
		if err := sessions[i].Start(string(command)); err != nil {
			return err
		}
	}
	codes := []string{"exit"}
	for i, session := range sessions {
		code, err := exitCode(session.Wait())
		if err != nil {
			return err
		}
		codes = append(codes, fmt.Sprint(code))
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("stdout%d", i+1)), printed[i].Bytes(), 0o600); err != nil {
			return err
		}
	}
	say(codes...)
	return nil
}

func local(client *ssh.Client, address, input, folder string) error {
	connection, err := client.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	in, err := os.Open(input)
	if err != nil {
		return err
	}
	defer in.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(connection, in)
		sent <- errors.Join(err, connection.(interface{ CloseWrite() error }).CloseWrite())
	}()
	back, err := io.ReadAll(connection)
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "stdout"), back, 0o600)
}

func remote(client *ssh.Client) error {
	listener, err := client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	say("port", fmt.Sprint(listener.Addr().(*net.TCPAddr).Port))
	connection, err := listener.Accept()
	if err != nil {
		return err
	}
	if _, err := io.Copy(connection, connection); err != nil {
		return err
	}
	return errors.Join(connection.Close(), listener.Close())
}

func script(client *ssh.Client, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	files, err := sftp.NewClient(client)
	if err != nil {
		return err
	}
	defer files.Close()
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		words := strings.Split(line, " ")
		for i := range words {
			words[i], _ = url.PathUnescape(words[i])
		}
		if err := operate(files, words); err != nil {
			say("error", err.Error())
		} else {
			say("ok")
		}
	}
	return nil
}

func operate(files *sftp.Client, words []string) error {
	path := words[1]
	switch words[0] {
	case "mkdir":
		return files.Mkdir(path)
	case "put":
		from, err := os.Open(path)
		if err != nil {
			return err
		}
		defer from.Close()
		to, err := files.Create(words[2])
		if err != nil {
			return err
		}
		_, err = io.Copy(to, from)
		return errors.Join(err, to.Close())
	case "get":
		from, err := files.Open(path)
		if err != nil {
			return err
		}
		to, err := os.Create(words[2])
		if err != nil {
			return err
		}
		_, err = io.Copy(to, from)
		return errors.Join(err, to.Close(), from.Close())
	case "rename":
		return files.Rename(path, words[2])
	case "symlink":
		return files.Symlink(path, words[2])
	case "readlink":
		target, err := files.ReadLink(path)
		if err == nil {
			say("target", target)
		}
		return err
	case "list":
		entries, err := files.ReadDir(path)
		for _, entry := range entries {
			say("name", entry.Name())
		}
		return err
	case "size":
		info, err := files.Stat(path)
		if err == nil {
			say("size", fmt.Sprint(info.Size()))
		}
		return err
	case "remove":
		return files.Remove(path)
	case "rmdir":
		return files.RemoveDirectory(path)
	}
	return fmt.Errorf("no operation %s", words[0])
}
