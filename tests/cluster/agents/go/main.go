// An agent that calls OpenAI with Go's own HTTP client until it is refused or has made all its calls.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	calls, _ := strconv.Atoi(setting("CALLS", "1"))
	tokens, _ := strconv.Atoi(setting("TOKENS", "200"))
	url := setting("OPENAI_BASE_URL", "https://api.openai.com/v1") + "/chat/completions"
	say := json.NewEncoder(os.Stdout)
	for number := range calls {
		body, _ := json.Marshal(map[string]any{
			"model": setting("MODEL", "gpt-4o"), "max_tokens": tokens,
			"messages": []map[string]string{{"role": "user", "content": fmt.Sprintf("Sort letter %d.", number)}},
		})
		request, _ := http.NewRequest("POST", url, bytes.NewReader(body))
		request.Header.Set("authorization", "Bearer sk-agent")
		request.Header.Set("content-type", "application/json")
		request.Header.Set("x-sim-label", os.Getenv("LABEL"))
		request.Header.Set("x-sim-output-tokens", strconv.Itoa(tokens))
		answer, failed := http.DefaultClient.Do(request)
		if failed != nil {
			say.Encode(map[string]any{"status": 0, "error": failed.Error()})
			break
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		said := map[string]any{"status": answer.StatusCode}
		if answer.StatusCode != 200 {
			said["message"] = string(text)
			say.Encode(said)
			break
		}
		say.Encode(said)
	}
	linger, _ := strconv.Atoi(setting("LINGER", "0"))
	time.Sleep(time.Duration(linger) * time.Second)
}
