# curl, with the roots that it is given.
unset SSL_CERT_DIR SSL_CERT_FILE CURL_CA_BUNDLE
exec curl -sS -v --noproxy '*' --cacert "$3" --resolve "$2:$1:127.0.0.1" "https://$2:$1/"
