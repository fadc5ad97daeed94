import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

/** An agent that calls OpenAI with Java's own HTTP client until it is refused or has made all its calls. */
public final class Agent {
    public static void main(String[] none) throws Exception {
        String tokens = System.getenv().getOrDefault("TOKENS", "200");
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        for (int number = 0; number < Integer.parseInt(System.getenv("CALLS")); number++) {
            String body = "{\"model\":\"gpt-4o\",\"max_tokens\":" + tokens
                + ",\"messages\":[{\"role\":\"user\",\"content\":\"Sort letter " + number + ".\"}]}";
            HttpRequest request = HttpRequest.newBuilder(URI.create("https://api.openai.com/v1/chat/completions"))
                .header("authorization", "Bearer sk-agent").header("content-type", "application/json")
                .header("x-sim-label", System.getenv("LABEL")).header("x-sim-output-tokens", tokens)
                .POST(HttpRequest.BodyPublishers.ofString(body)).build();
            try {
                int status = client.send(request, BodyHandlers.ofString()).statusCode();
                System.out.println("{\"status\": " + status + "}");
                if (status != 200) break;
            } catch (java.io.IOException failed) {
                System.out.println("{\"status\": 0, \"error\": \"" + failed.toString().replace('"', '\'') + "\"}");
                break;
            }
        }
        Thread.sleep(1000L * Integer.parseInt(System.getenv().getOrDefault("LINGER", "0")));
    }
}
