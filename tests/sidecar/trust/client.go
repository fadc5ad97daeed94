// Go: crypto/tls with the roots that it is given.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"log"
	"os"
)

func main() {
	roots := x509.NewCertPool()
	pem, failed := os.ReadFile(os.Args[3])
	if failed != nil || !roots.AppendCertsFromPEM(pem) {
		log.Fatal("no roots: ", failed)
	}
	connection, failed := tls.Dial("tcp", "127.0.0.1:"+os.Args[1], &tls.Config{RootCAs: roots, ServerName: os.Args[2]})
	if failed != nil {
		log.Fatal(failed)
	}
	connection.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	connection.Close()
}
