// A server and a client that need a few files: certificates, a configuration, and /etc/resolv.conf.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	switch os.Args[1] {
	case "certificates":
		certificates(os.Args[2], os.Args[3])
	case "serve":
		serve(os.Args[2])
	case "listen":
		_, err := net.Listen("tcp", os.Args[2])
		check(err)
	case "inherited":
		inherited()
	case "get":
		get(os.Args[2])
	}
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// Writes ca.pem, cert.pem and key.pem for this host name.
func certificates(directory, host string) {
	template := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
	}
	write := func(name, kind string, bytes []byte) {
		check(os.WriteFile(directory+"/"+name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o644))
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	ca := template("test CA", 1)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	bytes, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	check(err)
	write("ca.pem", "CERTIFICATE", bytes)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	leaf := template(host, 2)
	leaf.DNSNames = []string{host}
	bytes, err = x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	check(err)
	write("cert.pem", "CERTIFICATE", bytes)
	bytes, err = x509.MarshalPKCS8PrivateKey(key)
	check(err)
	write("key.pem", "PRIVATE KEY", bytes)
}

// Answers every request with its configuration file.
func serve(address string) {
	content, err := os.ReadFile("/etc/app.conf")
	check(err)
	certificate, err := tls.LoadX509KeyPair("/etc/tls/cert.pem", "/etc/tls/key.pem")
	check(err)
	listener, err := net.Listen("tcp", address)
	check(err)
	fmt.Println("listening")
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	check(http.Serve(tls.NewListener(listener, config), http.HandlerFunc(
		func(to http.ResponseWriter, _ *http.Request) { to.Write(content) })))
}

// Answers every request on descriptor 3 with what a connection of its own fails with.
func inherited() {
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	check(err)
	check(http.Serve(listener, http.HandlerFunc(func(to http.ResponseWriter, _ *http.Request) {
		_, err := net.Dial("tcp", "127.0.0.1:9")
		fmt.Fprintln(to, err)
	})))
}

func get(url string) {
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(url)
	check(err)
	_, err = io.Copy(os.Stdout, answer.Body)
	check(err)
}
