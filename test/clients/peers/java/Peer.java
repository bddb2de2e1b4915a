import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;

/** The protocol of ../PROTOCOL.md over any library: subclasses open connections and channels with theirs. */
abstract class Peer {
  /** A channel with a program, a shell or a forwarded connection at its far end. */
  interface Channel extends AutoCloseable {
    OutputStream in() throws IOException;

    InputStream out() throws IOException;

    /** Null if there is none. */
    InputStream err() throws IOException;

    void resize(int columns, int rows) throws Exception;

    int exit() throws Exception;

    @Override
    void close() throws Exception;
  }

  interface FileClient extends AutoCloseable {
    void mkdir(String path) throws Exception;

    void put(String local, String path) throws Exception;

    void get(String path, String local) throws Exception;

    void rename(String from, String to) throws Exception;

    void symlink(String target, String path) throws Exception;

    String readlink(String path) throws Exception;

    List<String> list(String path) throws Exception;

    long size(String path) throws Exception;

    void remove(String path) throws Exception;

    void rmdir(String path) throws Exception;

    @Override
    void close() throws Exception;
  }

  interface Connection extends AutoCloseable {
    Channel exec(String command) throws Exception;

    Channel shell(int columns, int rows) throws Exception;

    Channel direct(String host, int port) throws Exception;

    /** Makes the server listen on 127.0.0.1 and forwards its connections to a local port. Returns the server's port. */
    int listen(int localPort) throws Exception;

    void unlisten(int port) throws Exception;

    FileClient files() throws Exception;

    void rekey() throws Exception;

    @Override
    void close() throws Exception;
  }

  static final String host = System.getenv("PEER_HOST");
  static final int port = Integer.parseInt(System.getenv("PEER_PORT"));
  static final String user = System.getenv("PEER_USER");
  static final String key = System.getenv("PEER_KEY");
  static final String knownHosts = System.getenv("PEER_KNOWN_HOSTS");

  abstract Connection connect(boolean agent) throws Exception;

  /** Whether the library fails to rekey while data is in transit. */
  boolean rekeysAtRest() {
    return false;
  }

  static void say(Object first, Object... words) {
    StringBuilder line = new StringBuilder(first.toString());
    for (Object word : words) line.append(' ').append(URLEncoder.encode(word.toString(), StandardCharsets.UTF_8).replace("+", "%20"));
    System.out.println(line);
    System.out.flush();
  }

  static List<String> wordsOf(String line) {
    List<String> words = new ArrayList<>();
    for (String word : line.split(" ")) words.add(URLDecoder.decode(word.replace("+", "%2B"), StandardCharsets.UTF_8));
    return words;
  }

  void serve() throws IOException {
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = requests.readLine(); line != null; line = requests.readLine()) {
      List<String> words = wordsOf(line);
      try {
        try (Connection connection = connect(words.get(0).equals("agent"))) {
          answer(connection, words.get(1), words.subList(2, words.size()));
        }
        say("done");
      } catch (Exception problem) {
        say("failed", problem.toString());
      }
    }
    System.exit(0);
  }

  private void answer(Connection connection, String verb, List<String> args) throws Exception {
    switch (verb) {
      case "exec" -> run(connection, Files.readString(Path.of(args.get(0))), args.get(1), args.get(2), false);
      case "rekey" -> run(connection, "cat", args.get(0), args.get(1), true);
      case "shell" -> shell(connection, args.get(0));
      case "two" -> two(connection, args);
      case "local" -> local(connection, args);
      case "remote" -> remote(connection);
      case "sftp" -> script(connection, args.get(0));
      default -> throw new IllegalArgumentException("no verb " + verb);
    }
  }

  interface Work {
    void run() throws Exception;
  }

  static CompletableFuture<Void> beside(Work work) {
    CompletableFuture<Void> done = new CompletableFuture<>();
    Thread thread = new Thread(() -> {
      try {
        work.run();
        done.complete(null);
      } catch (Exception problem) {
        done.completeExceptionally(problem);
      }
    });
    thread.setDaemon(true);
    thread.start();
    return done;
  }

  private void run(Connection connection, String command, String input, String folder, boolean rekeying) throws Exception {
    try (Channel channel = connection.exec(command)) {
      CompletableFuture<Void> errors = beside(() -> {
        try (OutputStream file = Files.newOutputStream(Path.of(folder, "stderr"))) {
          if (channel.err() != null) channel.err().transferTo(file);
        }
      });
      AtomicLong came = new AtomicLong();
      CompletableFuture<Void> sending = beside(() -> {
        long sent = 0;
        try (InputStream file = Files.newInputStream(Path.of(input)); OutputStream in = channel.in()) {
          for (byte[] chunk = file.readNBytes(1 << 20); chunk.length > 0; chunk = file.readNBytes(1 << 20)) {
            in.write(chunk);
            in.flush();
            sent += chunk.length;
            while (rekeying && rekeysAtRest() && came.get() < sent) Thread.sleep(1);
            if (rekeying) connection.rekey();
          }
        }
      });
      try (OutputStream file = Files.newOutputStream(Path.of(folder, "stdout"))) {
        byte[] chunk = new byte[32_768];
        for (int n = channel.out().read(chunk); n >= 0; n = channel.out().read(chunk)) {
          file.write(chunk, 0, n);
          came.addAndGet(n);
        }
      }
      sending.get();
      errors.get();
      say("exit", channel.exit());
    }
  }

  private void shell(Connection connection, String folder) throws Exception {
    try (Channel channel = connection.shell(80, 24)) {
      ByteArrayOutputStream printed = new ByteArrayOutputStream();
      channel.in().write("stty size; read line; stty size; exit 5\n".getBytes(StandardCharsets.UTF_8));
      channel.in().flush();
      byte[] chunk = new byte[4096];
      boolean changed = false;
      for (int n = channel.out().read(chunk); n >= 0; n = channel.out().read(chunk)) {
        printed.write(chunk, 0, n);
        if (changed || !printed.toString(StandardCharsets.UTF_8).contains("24 80")) continue;
        changed = true;
        channel.resize(132, 43);
        channel.in().write('\n');
        channel.in().flush();
      }
      Files.write(Path.of(folder, "stdout"), printed.toByteArray());
      say("exit", channel.exit());
    }
  }

  private void two(Connection connection, List<String> args) throws Exception {
    try (Channel first = connection.exec(Files.readString(Path.of(args.get(0)))); Channel second = connection.exec(Files.readString(Path.of(args.get(1))))) {
      Files.write(Path.of(args.get(2), "stdout1"), first.out().readAllBytes());
      Files.write(Path.of(args.get(2), "stdout2"), second.out().readAllBytes());
      say("exit", first.exit(), second.exit());
    }
  }

  private void local(Connection connection, List<String> args) throws Exception {
    try (Channel channel = connection.direct(args.get(0), Integer.parseInt(args.get(1)))) {
      CompletableFuture<Void> sending = beside(() -> {
        try (OutputStream in = channel.in()) {
          Files.copy(Path.of(args.get(2)), in);
        }
      });
      Files.write(Path.of(args.get(3), "stdout"), channel.out().readAllBytes());
      sending.get();
    }
  }

  private void remote(Connection connection) throws Exception {
    try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      int allocated = connection.listen(server.getLocalPort());
      say("port", allocated);
      try (Socket socket = server.accept()) {
        socket.getInputStream().transferTo(socket.getOutputStream());
        socket.shutdownOutput();
      }
      connection.unlisten(allocated);
    }
  }

  private void script(Connection connection, String file) throws Exception {
    try (FileClient files = connection.files()) {
      for (String line : Files.readAllLines(Path.of(file))) {
        try {
          operate(files, wordsOf(line));
          say("ok");
        } catch (Exception problem) {
          say("error", problem.toString());
        }
      }
    }
  }

  private void operate(FileClient files, List<String> words) throws Exception {
    String path = words.get(1);
    switch (words.get(0)) {
      case "mkdir" -> files.mkdir(path);
      case "put" -> files.put(path, words.get(2));
      case "get" -> files.get(path, words.get(2));
      case "rename" -> files.rename(path, words.get(2));
      case "symlink" -> files.symlink(path, words.get(2));
      case "readlink" -> say("target", files.readlink(path));
      case "list" -> files.list(path).stream().filter(name -> !Arrays.asList(".", "..").contains(name)).forEach(name -> say("name", name));
      case "size" -> say("size", files.size(path));
      case "remove" -> files.remove(path);
      case "rmdir" -> files.rmdir(path);
      default -> throw new IllegalArgumentException("no operation " + words.get(0));
    }
  }
}
